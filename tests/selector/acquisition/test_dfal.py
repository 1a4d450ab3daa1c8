"""DFAL against a numeric search for the nearest point of another class."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize

from services.selector.acquisition import DEFAULTS
from services.selector.acquisition.dfal import DFAL, UNREACHABLE, dfal
from services.selector.errors import NotFinite
from services.selector.heads import LogisticHead, SvmHead
from services.selector.heads.mc_dropout import Layer, McDropoutHead
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("DFAL",)


def searched(point: Any, weights: Any, offsets: Any) -> float:
    """Returns the distance to the nearest point where another class is at least as high as all others.

    One quadratic program a class, without the formula that is tested: min ‖r‖ where class j wins.
    """
    own = int(np.argmax(point @ weights + offsets))
    found = []
    for other in range(weights.shape[1]):
        if other == own:
            continue
        # other beats every class, at the point moved by r.
        rises = (weights[:, [other]] - np.delete(weights, other, axis=1)).T
        lacks = np.delete(offsets, other) - offsets[other] - rises @ point
        result = minimize(
            lambda r: 0.5 * r @ r,
            np.zeros(len(point)),
            jac=lambda r: r,
            method="SLSQP",
            constraints=[{"type": "ineq", "fun": lambda r, a=rises, b=lacks: a @ r - b, "jac": lambda r, a=rises: a}],
            options={"ftol": 1e-14, "maxiter": 300},
        )
        if result.success:
            found.append(float(np.linalg.norm(result.x)))
    return min(found)


def linear_head(kind: type[LogisticHead | SvmHead], classes: int, dimension: int) -> LogisticHead | SvmHead:
    """Returns a head of random weights, of very different lengths."""
    generator, outputs = np.random.default_rng(classes), 1 if classes == 2 else classes
    weights = generator.standard_normal((outputs, dimension)) * generator.uniform(0.5, 3, (outputs, 1))
    names = tuple(f"class {number}" for number in range(classes))
    return kind(names, weights.astype(np.float32), generator.standard_normal(outputs).astype(np.float32))


def predicted(head: LogisticHead | SvmHead | McDropoutHead, points: Any) -> npt.NDArray[np.int64]:
    """Returns the classes the head itself gives to points (n, D)."""
    outputs = points @ head.projection.weights + head.projection.offsets
    return np.argmax(head.probabilities(outputs.astype(np.float32)), axis=1)


def assert_nearest(head: LogisticHead | SvmHead | McDropoutHead, points: Any, scores: Any) -> None:
    """Asserts that changes a little shorter than -score leave the head's own prediction, and some longer one not."""
    generator, dimension = np.random.default_rng(1), points.shape[1]
    weights = head.projection.weights.astype(np.float64)
    for point, label, score in zip(points, predicted(head, points), scores, strict=True):
        # Directions to every boundary, where a shorter change would be found if there were one.
        normals = [w - w[:, [min(label, w.shape[1] - 1)]] for w in (weights, weights / np.linalg.norm(weights, axis=0))]
        changes = np.concatenate([generator.standard_normal((dimension, 500)), *normals, weights, -weights], axis=1).T
        changes = changes[changes.any(axis=1)]
        changes /= np.linalg.norm(changes, axis=1, keepdims=True)
        # Outputs are float32.
        shorter, longer = -score * (1 - 1e-4) - 1e-5, -score * (1 + 1e-4) + 1e-5
        assert (predicted(head, point + shorter * changes) == label).all()
        assert (predicted(head, point + longer * changes) != label).any()


@pytest.mark.parametrize("classes", [2, 5])
def test_is_the_distance_a_search_finds(classes: int) -> None:
    generator = np.random.default_rng(classes)
    points, weights = generator.standard_normal((12, 6)), generator.standard_normal((6, classes))
    offsets = generator.standard_normal(classes)
    expected = [searched(point, weights, offsets) for point in points]
    np.testing.assert_allclose(-dfal(points @ weights + offsets, weights, offsets), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [LogisticHead, SvmHead])
@pytest.mark.parametrize("classes", [2, 3, 7, 150])
def test_is_how_far_a_row_is_from_where_its_head_predicts_another_class(
    kind: type[LogisticHead | SvmHead], classes: int
) -> None:
    head = linear_head(kind, classes, 8)
    points = (np.random.default_rng(0).standard_normal((4, 8)) * 2).astype(np.float16)
    scores = view_of(points, head=head).scores(DFAL, DEFAULTS)
    assert (scores < 0).all()
    assert_nearest(head, points.astype(np.float64), scores)


@pytest.mark.parametrize("classes", [2, 4])
def test_is_that_distance_over_a_linear_network_too(classes: int) -> None:
    like = linear_head(LogisticHead, classes, 8)
    head = McDropoutHead(like.labels, np.zeros(8, np.float32), (Layer(like.weights, like.offsets),), 0.1)
    points = (np.random.default_rng(0).standard_normal((4, 8)) * 2).astype(np.float16)
    assert_nearest(head, points.astype(np.float64), view_of(points, head=head).scores(DFAL, DEFAULTS))


def test_two_classes_are_as_far_apart_as_their_log_odds_over_the_length_of_their_weights() -> None:
    head = linear_head(LogisticHead, 2, 8)
    points = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float16)
    odds = points.astype(np.float64) @ head.weights[0] + head.offsets[0]
    scores = view_of(points, head=head).scores(DFAL, DEFAULTS)
    np.testing.assert_allclose(-scores, np.abs(odds) / np.linalg.norm(head.weights[0]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_a_pool_over_a_head_that_was_fit(classes: int) -> None:
    embeddings, numbers = clustered(40, 6, classes)
    head = fitted(embeddings, np.arange(30), numbers[:30])
    scores = view_of(embeddings, head=head, labeled=np.arange(30)).scores(DFAL, DEFAULTS)
    weights, offsets = head.weights.T.astype(np.float64), head.offsets.astype(np.float64)
    if classes == 2:
        weights, offsets = np.concatenate([0 * weights, weights], axis=1), np.concatenate([[0.0], offsets])
    expected = [searched(point, weights, offsets) for point in embeddings.astype(np.float64)]
    np.testing.assert_allclose(-scores, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("constant", [0.0, -7.5])
def test_decisions_may_be_off_by_a_constant_a_row(constant: float) -> None:
    generator = np.random.default_rng(0)
    points, weights = generator.standard_normal((10, 6)), generator.standard_normal((6, 3))
    decisions = points @ weights
    shifted = decisions + constant * generator.standard_normal((10, 1))
    np.testing.assert_allclose(dfal(shifted, weights, np.zeros(3)), dfal(decisions, weights, np.zeros(3)))


def test_classes_of_the_same_weights_never_limit_unless_their_outputs_are_equal() -> None:
    weights = np.array([[1.0, 1.0, -1.0]])
    points = np.array([[3.0], [-3.0]])
    offsets = np.array([1.0, 0.0, 0.0])
    # Class 0 beats class 1 everywhere; 2 is at x = -1/2.
    np.testing.assert_allclose(dfal(points @ weights + offsets, weights, offsets), [-3.5, -2.5])
    level = np.zeros(3)
    np.testing.assert_array_equal(dfal(points @ weights + level, weights, level), [0.0, -3.0])


def test_a_head_without_weights_has_no_boundary() -> None:
    weights, outputs = np.zeros((3, 2)), np.array([[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(dfal(outputs, weights, np.array([1.0, 0.0])), [-UNREACHABLE] * 2)
    level = np.zeros((2, 2))
    np.testing.assert_array_equal(dfal(level, weights, np.zeros(2)), [0.0] * 2)
    head = LogisticHead(("a", "b"), np.zeros((1, 3), np.float32), np.ones(1, np.float32))
    np.testing.assert_array_equal(view_of(np.ones((2, 3)), head=head).scores(DFAL, DEFAULTS), [-UNREACHABLE] * 2)


def test_constant_embeddings_are_all_as_far() -> None:
    head = LogisticHead(("a", "b"), np.full((1, 4), 2, np.float32), np.ones(1, np.float32))
    scores = view_of(np.zeros((5, 4)), head=head).scores(DFAL, DEFAULTS)
    np.testing.assert_allclose(scores, -0.25)


def test_names_the_row_that_is_not_finite() -> None:
    with pytest.raises(NotFinite, match="row 1"):
        dfal(np.array([[0.5, 0.0], [np.inf, 0.0]]), np.ones((2, 2)), np.zeros(2))
