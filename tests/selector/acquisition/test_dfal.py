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
from services.selector.heads import LogisticHead
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("DFAL",)


def predicted(points: Any, weights: Any, offsets: Any) -> npt.NDArray[np.int64]:
    """Returns the class of points (n, D), from the head's definition alone."""
    outputs = points @ weights + offsets
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0).astype(np.int64)
    return np.argmax(outputs, axis=1)


def searched(point: Any, weights: Any, offsets: Any) -> float:
    """Returns the distance to the nearest point where another class is at least as high as all others.

    One quadratic program a class, without the formula that is tested: min ‖r‖ where class j wins.
    """
    if weights.shape[1] == 1:
        weights, offsets = np.concatenate([0 * weights, weights], axis=1), np.concatenate([[0.0], offsets])
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


@pytest.mark.parametrize(("classes", "outputs"), [(2, 1), (2, 2), (5, 5)])
def test_is_the_distance_a_search_finds(classes: int, outputs: int) -> None:
    generator = np.random.default_rng(classes + outputs)
    points, weights = generator.standard_normal((12, 6)), generator.standard_normal((6, outputs))
    offsets = generator.standard_normal(outputs)
    expected = [searched(point, weights, offsets) for point in points]
    np.testing.assert_allclose(-dfal(points @ weights + offsets, weights, offsets), expected, rtol=1e-5)


@pytest.mark.parametrize(("classes", "outputs"), [(2, 1), (7, 7), (150, 150)])
def test_no_shorter_change_crosses_and_one_just_longer_does(classes: int, outputs: int) -> None:
    generator = np.random.default_rng(outputs)
    points, weights = generator.standard_normal((5, 16)), generator.standard_normal((16, outputs))
    offsets = generator.standard_normal(outputs)
    own = predicted(points, weights, offsets)
    distance = -dfal(points @ weights + offsets, weights, offsets)
    changes = generator.standard_normal((2_000, 16))
    # Directions to every boundary, where a shorter change would be found if there were one.
    normals = weights if outputs == 1 else (weights[:, :, None] - weights[:, None, :]).reshape(16, -1)
    normals = normals[:, np.linalg.norm(normals, axis=0) > 0].T
    changes = np.concatenate([changes, normals, -normals])
    changes /= np.linalg.norm(changes, axis=1, keepdims=True)
    for point, label, reach in zip(points, own, distance, strict=True):
        assert (predicted(point + reach * (1 - 1e-6) * changes, weights, offsets) == label).all()
        assert (predicted(point + reach * (1 + 1e-6) * changes, weights, offsets) != label).any()


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_a_pool_over_a_logistic_head(classes: int) -> None:
    embeddings, numbers = clustered(40, 6, classes)
    head = fitted(embeddings, np.arange(30), numbers[:30])
    scores = view_of(embeddings, head=head, labeled=np.arange(30)).scores(DFAL, DEFAULTS)
    weights, offsets = head.weights.T.astype(np.float64), head.offsets.astype(np.float64)
    expected = [searched(point, weights, offsets) for point in embeddings.astype(np.float64)]
    np.testing.assert_allclose(-scores, expected, rtol=1e-4, atol=1e-5)


def test_two_classes_agree_whether_they_have_one_output_or_two() -> None:
    generator = np.random.default_rng(0)
    points, weight = generator.standard_normal((50, 5)), generator.standard_normal((5, 1))
    other = generator.standard_normal((5, 1))
    odds = points @ weight + 0.3
    both = np.concatenate([other, other + weight], axis=1)
    np.testing.assert_allclose(
        dfal(points @ both + [0.1, 0.4], both, np.array([0.1, 0.4])), dfal(odds, weight, np.array([0.3])), rtol=1e-9
    )


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
    odds = np.full((2, 1), 0.5)
    np.testing.assert_array_equal(dfal(odds, np.zeros((3, 1)), np.array([0.5])), [-UNREACHABLE] * 2)
    np.testing.assert_array_equal(dfal(0 * odds, np.zeros((3, 1)), np.zeros(1)), [0.0] * 2)


def test_constant_embeddings_are_all_as_far() -> None:
    head = LogisticHead(("a", "b"), np.full((1, 4), 2, np.float32), np.ones(1, np.float32))
    scores = view_of(np.zeros((5, 4)), head=head).scores(DFAL, DEFAULTS)
    np.testing.assert_allclose(scores, -0.25)


def test_names_the_row_that_is_not_finite() -> None:
    with pytest.raises(NotFinite, match="row 1"):
        dfal(np.array([[0.5], [np.inf]]), np.ones((2, 1)), np.zeros(1))
