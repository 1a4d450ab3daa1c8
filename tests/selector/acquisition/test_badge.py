"""BADGE: gradients against torch's, and draws against k-means++ computed in full."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.stats import chisquare

from services.selector.acquisition import badge as module
from services.selector.acquisition.badge import BADGE, badge
from services.selector.acquisition.gradients import Gradients
from services.selector.acquisition.parameters import DEFAULTS
from services.selector.heads import Ability, LogisticHead, Projection
from services.selector.scoring import PoolView, Shelf
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("BADGE",)


def head_of(classes: int, dimension: int, seed: int = 0, scale: float = 1.0) -> LogisticHead:
    generator = np.random.default_rng(seed)
    outputs = 1 if classes == 2 else classes
    return LogisticHead(
        tuple(f"class {number}" for number in range(classes)),
        (scale * generator.standard_normal((outputs, dimension))).astype(np.float32),
        generator.standard_normal(outputs).astype(np.float32),
    )


def normal(rows: int, dimension: int, seed: int = 0) -> npt.NDArray[np.float16]:
    return np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float16)


def explicit(points: npt.NDArray[Any], head: LogisticHead) -> npt.NDArray[np.float64]:
    """The gradients (N, C · D) by the last layer's weights, one row after the other."""
    weights, offsets = head.weights.astype(np.float64), head.offsets.astype(np.float64)
    if len(head.labels) == 2:
        weights, offsets = np.concatenate([-weights, weights]) / 2, np.concatenate([-offsets, offsets]) / 2
    layer = torch.tensor(weights, requires_grad=True)
    found = []
    for point in torch.from_numpy(points.astype(np.float64)):
        logits = layer @ point + torch.from_numpy(offsets)
        loss = torch.nn.functional.cross_entropy(logits, logits.argmax())
        found.append(torch.autograd.grad(loss, layer)[0].numpy().ravel())
    return np.array(found)


def to_nearest(gradients: npt.NDArray[Any], centers: npt.ArrayLike) -> npt.NDArray[np.float64]:
    gaps = gradients[:, None] - gradients[np.asarray(centers)][None]
    squared: npt.NDArray[np.float64] = np.square(gaps).sum(axis=2).min(axis=1)
    return squared


def picked(view: PoolView, k: int, seed: int = 0) -> tuple[list[int], npt.NDArray[np.float64]]:
    picks = badge(view, k, DEFAULTS, np.random.default_rng(seed))
    return picks.rows.tolist(), picks.scores


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_norms_and_distances_are_those_of_the_gradients_by_autograd(classes: int) -> None:
    points, head = normal(200, 6), head_of(classes, 6)
    view = view_of(points, head=head)
    gradients = Gradients(view, view.embeddings)
    expected = explicit(points, head)
    np.testing.assert_allclose(gradients.squared_norms, np.square(expected).sum(axis=1), rtol=1e-4)
    centers = np.array([3, 50, 120])
    true = to_nearest(expected, centers)
    bounds = np.full(200, np.inf, np.float32)
    gradients.lower(bounds, centers)
    # Above the truth by what float32 may have lost, and by no more than that.
    np.testing.assert_allclose(bounds, true, rtol=1e-3, atol=1e-4)
    measured = module._Centers(gradients, centers)
    np.testing.assert_allclose([measured.squared_distance(row) for row in range(200)], true, rtol=1e-4, atol=1e-9)


def test_bounds_are_never_below_the_distances() -> None:
    points = (normal(2_000, 32) + 3).astype(np.float16)
    view = view_of(points, head=head_of(4, 32, scale=0.3))
    gradients = Gradients(view, view.embeddings)
    rows = np.arange(0, 2_000, 10)
    bounds = np.full(2_000, np.inf, np.float32)
    gradients.lower(bounds, rows)
    centers = module._Centers(gradients, rows)
    true = np.array([centers.squared_distance(row) for row in range(2_000)])
    assert (bounds >= true).all()
    assert (bounds[rows] == 0).all()


def test_the_errors_of_confident_rows_keep_their_digits() -> None:
    # Log odds of 12 to 20: 1 - p is 6e-6 to 2e-9, of which 1 - float32(p) would leave one digit or none.
    points = np.linspace(12, 20, 9)[:, None].astype(np.float16)
    head = LogisticHead(("no", "yes"), np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    view = view_of(points, head=head)
    expected = np.square(explicit(points, head)).sum(axis=1)
    np.testing.assert_allclose(Gradients(view, view.embeddings).squared_norms, expected, rtol=1e-5)


def test_the_first_pick_has_the_largest_gradient() -> None:
    points, head = normal(300, 6), head_of(3, 6)
    squared = np.square(explicit(points, head)).sum(axis=1)
    free = np.ones(300, np.bool_)
    free[np.argmax(squared)] = False
    rows, scores = picked(view_of(points, head=head, free=free), 1)
    assert rows == [np.argmax(np.where(free, squared, -1))]
    np.testing.assert_allclose(scores, squared[rows], rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_draws_have_the_law_of_k_means_plus_plus(classes: int) -> None:
    points, head = normal(7, 3, seed=1), head_of(classes, 3)
    gradients = explicit(points, head)
    free = np.array([True] * 6 + [False])
    view = view_of(points, head=head, free=free)
    first = int(np.argmax(np.where(free, np.square(gradients).sum(axis=1), -1)))
    law: dict[tuple[int, int], float] = {}
    second = np.where(free, to_nearest(gradients, [first]), 0)
    for i in np.flatnonzero(second):
        third = np.where(free, to_nearest(gradients, np.array([first, i])), 0)
        for j in np.flatnonzero(third):
            law[int(i), int(j)] = second[i] / second.sum() * third[j] / third.sum()
    runs = 700
    generator = np.random.default_rng(7)
    counts = Counter(tuple(badge(view, 3, DEFAULTS, generator).rows.tolist()) for _ in range(runs))
    assert {rows[0] for rows in counts} == {first}
    expected = np.array(list(law.values())) * runs
    observed = np.array([counts[first, i, j] for i, j in law])
    assert observed.sum() == runs
    # Cells that hardly ever come are one.
    rare = expected < 5
    assert (
        chisquare(
            np.append(observed[~rare], observed[rare].sum() + 1e-9),
            np.append(expected[~rare], expected[rare].sum() + 1e-9),
        ).pvalue
        > 1e-3
    )


def test_what_others_reserved_are_centers_from_the_start() -> None:
    points, head = normal(6, 3, seed=2), head_of(3, 3)
    view = view_of(points, head=head, reserved=[1, 4])
    true = np.where(view.free, to_nearest(explicit(points, head), [1, 4]), 0)
    generator = np.random.default_rng(3)
    counts = Counter(int(badge(view, 1, DEFAULTS, generator).rows[0]) for _ in range(400))
    rows = np.flatnonzero(view.free)
    assert chisquare([counts[int(row)] for row in rows], 400 * true[rows] / true.sum()).pvalue > 1e-3


def test_scores_are_distances_at_the_time_of_the_pick() -> None:
    points, head = normal(400, 5), head_of(4, 5)
    gradients = explicit(points, head)
    rows, scores = picked(view_of(points, head=head), 60)
    for at in (1, 2, 10, 59):
        np.testing.assert_allclose(scores[at], to_nearest(gradients, rows[:at])[rows[at]], rtol=1e-4)


def test_picks_and_their_doubles_are_not_drawn_again() -> None:
    points, head = normal(30, 4), head_of(3, 4)
    rows, scores = picked(view_of(np.concatenate([points] * 3), head=head), 90)
    assert sorted(rows) == list(range(90))
    assert sorted(row % 30 for row in rows[:30]) == list(range(30))
    assert (scores[:30] > 0).all()
    assert (scores[30:] == 0).all()


@pytest.mark.parametrize("value", [0.0, 1.0, 30.0])
def test_a_constant_pool_is_drawn_from_uniformly_after_its_first_row(value: float) -> None:
    view = view_of(np.full((5, 3), value), head=head_of(3, 3))
    counts = Counter(tuple(picked(view, 2, seed)[0]) for seed in range(400))
    assert {rows[0] for rows in counts} == {0}
    assert chisquare([counts[0, row] for row in range(1, 5)]).pvalue > 1e-3


def test_a_head_without_doubt_has_no_gradients() -> None:
    # Probabilities of exactly 0 and 1.
    points = np.where(np.arange(40) % 2, 100.0, -100.0)[:, None]
    head = LogisticHead(("no", "yes"), np.full((1, 1), 100, np.float32), np.zeros(1, np.float32))
    rows, scores = picked(view_of(points, head=head), 40)
    assert sorted(rows) == list(range(40))
    assert rows[0] == 0
    assert (scores == 0).all()


@pytest.mark.parametrize("k", [1, 99, 100, 1_000])
def test_as_many_free_rows_come_back_as_there_are(k: int) -> None:
    free = np.zeros(200, np.bool_)
    free[100:] = True
    rows, scores = picked(view_of(normal(200, 4), head=head_of(3, 4), free=free), k)
    assert len(rows) == len(set(rows)) == len(scores) == min(k, 100)
    assert free[rows].all()


def test_one_free_row_is_picked() -> None:
    view = view_of(normal(5, 4), head=head_of(2, 4), free=[False] * 4 + [True], reserved=[1])
    assert picked(view, 3)[0] == [4]


def test_a_seed_gives_the_same_picks_and_more_of_them_begin_with_the_same() -> None:
    points, classes = clustered(5_000, 12, 5)
    view = view_of(points, head=fitted(points, np.arange(100), classes[:100]), labeled=np.arange(100))
    rows, _ = picked(view, 120, seed=4)
    assert rows == picked(view, 120, seed=4)[0]
    assert rows != picked(view, 120, seed=5)[0]
    assert picked(view, 33, seed=4)[0] == rows[:33]
    assert BADGE.extends


def test_a_pool_that_grows_is_as_if_it_had_always_been_there() -> None:
    points, head, shelf = normal(3_000, 8), head_of(3, 8), Shelf(1 << 30)
    for rows in (1_000, 3_000, 1_000):
        kept = picked(view_of(points[:rows], head=head, shelf=shelf), 20)[0]
        assert kept == picked(view_of(points[:rows], head=head), 20)[0]


def test_many_classes_are_no_different() -> None:
    points, head = normal(200, 5), head_of(150, 5)
    gradients = explicit(points, head)
    rows, scores = picked(view_of(points, head=head, reserved=np.arange(0, 200, 2)), 40)
    centers = [*range(0, 200, 2), *rows]
    for at in (0, 20, 39):
        true = np.square(gradients[centers[: 100 + at]] - gradients[rows[at]]).sum(axis=1).min()
        np.testing.assert_allclose(scores[at], true, rtol=1e-3)


class Hidden:
    """A head with one hidden layer under a logistic one."""

    kind = "HIDDEN"
    abilities = Ability.PROBABILITIES

    def __init__(self, weights: npt.NDArray[np.float32], last: LogisticHead) -> None:
        self.projection = Projection(weights, np.zeros(weights.shape[1], np.float32))
        self.labels = last.labels
        self._last = last

    def penultimate(self, outputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.maximum(outputs, 0)

    def probabilities(self, outputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        layer = self._last.projection
        return self._last.probabilities(self.penultimate(outputs) @ layer.weights + layer.offsets)


def test_gradients_of_a_hidden_layer_are_made_of_its_activations() -> None:
    points, last = normal(200, 6), head_of(3, 4)
    weights = np.random.default_rng(5).standard_normal((6, 4)).astype(np.float32)
    head: Any = Hidden(weights, last)
    gradients = explicit(np.maximum(points.astype(np.float32) @ weights, 0), last)
    rows, scores = picked(view_of(points, head=head), 10)
    for at in range(1, 10):
        np.testing.assert_allclose(scores[at], to_nearest(gradients, rows[:at])[rows[at]], rtol=1e-3)
