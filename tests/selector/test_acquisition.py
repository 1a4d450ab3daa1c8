"""Acquisition functions against their definitions, and what all of them must hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.selector.acquisition import REGISTRY, OfGenerator, OfProbabilities
from services.selector.errors import NotFinite

Probs = npt.NDArray[np.floating[Any]]

OF_PROBABILITIES = [function for function in REGISTRY.values() if isinstance(function, OfProbabilities)]
OF_GENERATOR = [function for function in REGISTRY.values() if isinstance(function, OfGenerator)]


def entropy(row: Probs) -> float:
    return float(scipy.stats.entropy(row.astype(np.float64)))


def variation_ratio(row: Probs) -> float:
    return 1.0 - max(float(p) for p in row)


def margin(row: Probs) -> float:
    first, second = sorted((float(p) for p in row), reverse=True)[:2]
    return second - first


# Each function's definition, one row at a time. A registered function without one fails the suite.
DEFINITIONS: dict[str, Callable[[Probs], float]] = {
    "MAX_ENTROPY": entropy,
    "VARIATION_RATIO": variation_ratio,
    "MARGIN": margin,
}
DRAWN = {"RANDOM"}


@st.composite
def probabilities(draw: st.DrawFn, min_classes: int = 2) -> Probs:
    """Rows that sum to 1, some of them with exact zeros, ones and ties, in each float dtype."""
    rows, classes = draw(st.integers(0, 12)), draw(st.integers(min_classes, 6))
    weights = draw(arrays(np.int64, (rows, classes), elements=st.integers(0, 5)))
    weights[weights.sum(axis=1) == 0] = 1
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(dtype)


def random_probabilities(rows: int, classes: int, seed: int = 0) -> Probs:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), rows).astype(np.float32)


def test_every_registered_function_has_a_definition_here() -> None:
    assert set(DEFINITIONS) == {function.name for function in OF_PROBABILITIES}
    assert {function.name for function in OF_GENERATOR} == DRAWN
    assert all(name == function.name for name, function in REGISTRY.items())


@pytest.mark.parametrize("function", OF_PROBABILITIES, ids=lambda f: f.name)
@given(probs=probabilities())
def test_a_score_is_what_the_definition_says(function: OfProbabilities, probs: Probs) -> None:
    scores = function.scores(probs)
    expected = [DEFINITIONS[function.name](row) for row in probs]
    # A row of float16 sums to 1 only within its precision, and scipy divides by the sum.
    tolerance = {2: 5e-3, 4: 1e-6, 8: 1e-12}[probs.dtype.itemsize]
    np.testing.assert_allclose(scores, expected, atol=tolerance)
    assert scores.shape == (len(probs),)
    assert scores.dtype == np.float64


@pytest.mark.parametrize("function", OF_PROBABILITIES, ids=lambda f: f.name)
@given(probs=probabilities(), data=st.data())
def test_a_score_depends_on_its_row_and_not_on_the_order_of_classes(
    function: OfProbabilities, probs: Probs, data: st.DataObject
) -> None:
    scores = function.scores(probs)
    for row in range(len(probs)):
        np.testing.assert_array_equal(function.scores(probs[row : row + 1]), scores[row : row + 1])
    columns = data.draw(st.permutations(range(probs.shape[1])))
    np.testing.assert_allclose(function.scores(probs[:, columns]), scores, atol=1e-12)


@pytest.mark.parametrize("function", OF_PROBABILITIES, ids=lambda f: f.name)
@given(probs=probabilities())
def test_a_class_without_probability_changes_no_score(function: OfProbabilities, probs: Probs) -> None:
    wider = np.concatenate([probs, np.zeros((len(probs), 2), probs.dtype)], axis=1)
    np.testing.assert_allclose(function.scores(wider), function.scores(probs), atol=1e-12)


@pytest.mark.parametrize("function", OF_PROBABILITIES, ids=lambda f: f.name)
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_least_certain_row_scores_highest_and_a_certain_one_lowest(function: OfProbabilities, classes: int) -> None:
    probs = np.concatenate(
        [random_probabilities(200, classes), np.full((1, classes), 1 / classes), np.eye(classes)[:1]]
    ).astype(np.float32)
    scores = function.scores(probs)
    assert scores[200] >= scores.max() - 1e-6
    assert scores[201] == scores.min()
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("function", OF_PROBABILITIES, ids=lambda f: f.name)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_row_that_is_not_finite_is_named(function: OfProbabilities, bad: float, dtype: type) -> None:
    probs = random_probabilities(9, 3).astype(dtype)
    probs[5, 1] = bad
    probs[7, 0] = np.nan
    with pytest.raises(NotFinite, match="row 5") as raised:
        function.scores(probs)
    assert raised.value.row == 5


@pytest.mark.parametrize("function", OF_PROBABILITIES, ids=lambda f: f.name)
def test_no_rows_have_no_scores_and_inputs_stay_as_they_are(function: OfProbabilities) -> None:
    assert function.scores(np.empty((0, 3), np.float32)).shape == (0,)
    probs = random_probabilities(20, 4)
    before = probs.copy()
    function.scores(probs)
    np.testing.assert_array_equal(probs, before)


def test_with_two_classes_all_three_functions_rank_alike() -> None:
    second = np.unique(np.concatenate([np.linspace(0, 1, 301), 0.5 + np.linspace(-3e-5, 3e-5, 21)]))
    probs = np.stack([1 - second, second], axis=1)
    certain = np.abs(probs[:, 0] - probs[:, 1])
    for function in OF_PROBABILITIES:
        scores = function.scores(probs)
        ranked = np.argsort(certain, kind="stable")
        # Not once does a row that is more certain score higher.
        assert (np.diff(scores[ranked]) <= 1e-15).all(), function.name


@pytest.mark.parametrize("function", OF_GENERATOR, ids=lambda f: f.name)
def test_draws_follow_from_the_seed_and_a_grown_pool_keeps_them(function: OfGenerator) -> None:
    few = function.scores(100, np.random.default_rng(3))
    many = function.scores(250, np.random.default_rng(3))
    other = function.scores(100, np.random.default_rng(4))
    np.testing.assert_array_equal(few, many[:100])
    assert (few != other).all()
    assert function.scores(0, np.random.default_rng(3)).shape == (0,)


def test_random_is_uniform() -> None:
    scores = REGISTRY["RANDOM"].scores(20_000, np.random.default_rng(0))
    assert scipy.stats.kstest(scores, "uniform").pvalue > 1e-3
    assert scores.min() >= 0
    assert scores.max() < 1
