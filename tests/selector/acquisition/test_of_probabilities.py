"""The functions of probabilities alone against their definitions."""

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

from services.selector.acquisition import DEFAULTS, REGISTRY
from services.selector.acquisition.margin import margin
from services.selector.acquisition.max_entropy import max_entropy
from services.selector.acquisition.variation_ratio import variation_ratio
from services.selector.errors import NotFinite
from services.selector.heads import SvmSettings, fitter_for
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("MAX_ENTROPY", "VARIATION_RATIO", "MARGIN")

Probs = npt.NDArray[np.floating[Any]]
Scores = Callable[[Probs], npt.NDArray[np.float64]]

FUNCTIONS: list[Scores] = [max_entropy, variation_ratio, margin]


def entropy_of(row: Probs) -> float:
    return float(scipy.stats.entropy(row.astype(np.float64)))


def variation_ratio_of(row: Probs) -> float:
    return 1.0 - max(float(p) for p in row)


def margin_of(row: Probs) -> float:
    first, second = sorted((float(p) for p in row), reverse=True)[:2]
    return second - first


# Each function's definition, one row at a time.
DEFINITIONS: dict[str, Callable[[Probs], float]] = {
    "max_entropy": entropy_of,
    "variation_ratio": variation_ratio_of,
    "margin": margin_of,
}


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


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@given(probs=probabilities())
def test_a_score_is_what_the_definition_says(function: Scores, probs: Probs) -> None:
    scores = function(probs)
    expected = [DEFINITIONS[function.__name__](row) for row in probs]
    # A row of float16 sums to 1 only within its precision, and scipy divides by the sum.
    tolerance = {2: 5e-3, 4: 1e-6, 8: 1e-12}[probs.dtype.itemsize]
    np.testing.assert_allclose(scores, expected, atol=tolerance)
    assert scores.shape == (len(probs),)
    assert scores.dtype == np.float64


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@given(probs=probabilities(), data=st.data())
def test_a_score_depends_on_its_row_and_not_on_the_order_of_classes(
    function: Scores, probs: Probs, data: st.DataObject
) -> None:
    scores = function(probs)
    for row in range(len(probs)):
        np.testing.assert_array_equal(function(probs[row : row + 1]), scores[row : row + 1])
    columns = data.draw(st.permutations(range(probs.shape[1])))
    np.testing.assert_allclose(function(probs[:, columns]), scores, atol=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@given(probs=probabilities())
def test_a_class_without_probability_changes_no_score(function: Scores, probs: Probs) -> None:
    wider = np.concatenate([probs, np.zeros((len(probs), 2), probs.dtype)], axis=1)
    np.testing.assert_allclose(function(wider), function(probs), atol=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_least_certain_row_scores_highest_and_a_certain_one_lowest(function: Scores, classes: int) -> None:
    probs = np.concatenate(
        [random_probabilities(200, classes), np.full((1, classes), 1 / classes), np.eye(classes)[:1]]
    ).astype(np.float32)
    scores = function(probs)
    assert scores[200] >= scores.max() - 1e-6
    assert scores[201] == scores.min()
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_row_that_is_not_finite_is_named(function: Scores, bad: float, dtype: type) -> None:
    probs = random_probabilities(9, 3).astype(dtype)
    probs[5, 1] = bad
    probs[7, 0] = np.nan
    with pytest.raises(NotFinite, match="row 5") as raised:
        function(probs)
    assert raised.value.row == 5


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_no_rows_have_no_scores_and_inputs_stay_as_they_are(function: Scores) -> None:
    assert function(np.empty((0, 3), np.float32)).shape == (0,)
    probs = random_probabilities(20, 4)
    before = probs.copy()
    function(probs)
    np.testing.assert_array_equal(probs, before)


def test_with_two_classes_all_three_functions_rank_alike() -> None:
    second = np.unique(np.concatenate([np.linspace(0, 1, 301), 0.5 + np.linspace(-3e-5, 3e-5, 21)]))
    probs = np.stack([1 - second, second], axis=1)
    certain = np.abs(probs[:, 0] - probs[:, 1])
    for function in FUNCTIONS:
        scores = function(probs)
        ranked = np.argsort(certain, kind="stable")
        # Not once does a row that is more certain score higher.
        assert (np.diff(scores[ranked]) <= 1e-15).all(), function.__name__


@pytest.mark.parametrize("classes", [2, 3])
def test_over_a_pool_they_score_what_the_head_says(classes: int) -> None:
    embeddings, numbers = clustered(3_000, 16, classes)
    labeled = np.arange(60)
    head = fitted(embeddings, labeled, numbers[labeled])
    outputs = embeddings.astype(np.float32) @ head.projection.weights + head.projection.offsets
    view = view_of(embeddings, head=head, labeled=labeled, classes=numbers[labeled])
    for function, scores in zip(DEFINES, FUNCTIONS, strict=True):
        found = view.scores(REGISTRY[function], DEFAULTS)
        np.testing.assert_allclose(found, scores(head.probabilities(outputs)), atol=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
def test_margin_of_an_svm_is_that_of_its_distances_and_not_of_what_it_gives_as_probabilities(classes: int) -> None:
    embeddings, numbers = clustered(2_000, 16, classes)
    labeled = np.arange(80)
    features = np.concatenate([embeddings[labeled].astype(np.float32), np.ones((80, 1), np.float32)], axis=1)
    names = [f"class {number}" for number in range(classes)]
    head = fitter_for(SvmSettings()).fit(features, numbers[labeled], names, 1.0, None)
    outputs = embeddings.astype(np.float32) @ head.projection.weights + head.projection.offsets
    distances = np.sort(head.decisions(outputs), axis=1)
    view = view_of(embeddings, head=head, labeled=labeled, classes=numbers[labeled])
    expected = distances[:, -2] - distances[:, -1]
    np.testing.assert_allclose(view.scores(REGISTRY["MARGIN"], DEFAULTS), expected, atol=1e-5)
