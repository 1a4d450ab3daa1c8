"""The ranges of a recipe."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from services.trainer.recipe import Recipe


def test_the_defaults_are_sound_and_survive_json() -> None:
    recipe = Recipe(learning_rate=3e-5, seed=2**64 - 1)
    assert recipe.problems(512) == []
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("epochs", 0, "recipe.epochs must be between 1 and 100, got 0"),
        ("epochs", 101, "recipe.epochs must be between 1 and 100, got 101"),
        ("batch_size", 0, "recipe.batch_size must be between 1 and 1024, got 0"),
        ("batch_size", 1025, "recipe.batch_size must be between 1 and 1024, got 1025"),
        ("learning_rate", 0.0, "recipe.learning_rate must be more than 0 and at most 1, got 0"),
        ("learning_rate", 1.5, "recipe.learning_rate must be more than 0 and at most 1, got 1.5"),
        ("learning_rate", math.nan, "recipe.learning_rate must be more than 0 and at most 1, got nan"),
        ("weight_decay", -0.1, "recipe.weight_decay must be between 0 and 1, got -0.1"),
        ("weight_decay", math.inf, "recipe.weight_decay must be between 0 and 1, got inf"),
        ("warmup_ratio", 1.01, "recipe.warmup_ratio must be between 0 and 1, got 1.01"),
        ("max_length", 1, "recipe.max_length must be between 2 and 64, got 1; the backbone takes at most 64 tokens"),
        ("max_length", 65, "recipe.max_length must be between 2 and 64, got 65; the backbone takes at most 64 tokens"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_limit(field: str, value: float, sentence: str) -> None:
    recipe = replace(Recipe(max_length=64), **{field: value})
    assert recipe.problems(64) == [(f"recipe.{field}", sentence)]


def test_the_ends_of_the_ranges_are_taken() -> None:
    low = Recipe(epochs=1, batch_size=1, learning_rate=1e-12, weight_decay=0, warmup_ratio=0, max_length=2, seed=0)
    high = Recipe(epochs=100, batch_size=1024, learning_rate=1, weight_decay=1, warmup_ratio=1, max_length=64)
    assert low.problems(64) == high.problems(64) == []
