"""RANDOM draws."""

from __future__ import annotations

import numpy as np
import scipy.stats

from services.selector.acquisition import DEFAULTS, Picks
from services.selector.acquisition.random import random
from tests.selector.acquisition.views import view_of

DEFINES = ("RANDOM",)


def drawn(rows: int, k: int, seed: int) -> Picks:
    return random(view_of(np.ones((rows, 4))), k, DEFAULTS, np.random.default_rng(seed))


def test_random_is_uniform_over_the_free_rows() -> None:
    scores = drawn(20_000, 20_000, 0).scores
    assert scipy.stats.kstest(scores, "uniform").pvalue > 1e-3
    first = [drawn(10, 1, seed).rows[0] for seed in range(2_000)]
    assert scipy.stats.chisquare(np.bincount(first, minlength=10)).pvalue > 1e-3


def test_a_grown_pool_keeps_the_draws_of_the_rows_that_were_there() -> None:
    few, many = drawn(100, 100, 3), drawn(250, 250, 3)
    assert dict(zip(few.rows.tolist(), few.scores.tolist(), strict=True)).items() <= (
        dict(zip(many.rows.tolist(), many.scores.tolist(), strict=True)).items()
    )
