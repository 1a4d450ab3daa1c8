"""DAL against scikit-learn's logistic regression, refit as the paper says."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression

from services.selector.acquisition import dal as module
from services.selector.acquisition.dal import DAL, dal
from services.selector.acquisition.parameters import Parameters, Representation
from services.selector.heads import Ability, LogisticFitter, Projection
from services.selector.scoring import PoolView
from tests.selector.acquisition.views import clustered, view_of

DEFINES = ("DAL",)


def picked(view: PoolView, k: int, seed: int = 0, **parameters: Any) -> tuple[list[int], npt.NDArray[np.float64]]:
    picks = dal(view, k, Parameters(**parameters), np.random.default_rng(seed))
    return picks.rows.tolist(), picks.scores


def by_scikit_learn(points: npt.NDArray[Any], view: PoolView, sizes: list[int]) -> tuple[list[int], list[float]]:
    points = points.astype(np.float64)
    inverse_penalty = 1.0 / np.square(points).sum(axis=1).mean()
    labeled = [*view.labeled, *view.reserved]
    rows: list[int] = []
    scores: list[float] = []
    for size in sizes:
        pool = [row for row in np.flatnonzero(view.free) if row not in rows]
        fit = LogisticRegression(C=inverse_penalty, class_weight="balanced", tol=1e-10, max_iter=10_000).fit(
            points[[*labeled, *rows, *pool]], [0] * (len(labeled) + len(rows)) + [1] * len(pool)
        )
        probs = fit.predict_proba(points[pool])[:, 1]
        best = np.argsort(-probs)[:size]
        rows += [int(pool[at]) for at in best]
        scores += probs[best].tolist()
    return rows, scores


@pytest.mark.parametrize(("sub_batches", "sizes"), [(1, [7]), (3, [3, 2, 2]), (7, [1] * 7), (1_000, [1] * 7)])
def test_each_part_is_what_scikit_learn_is_surest_of_after_the_parts_before(sub_batches: int, sizes: list[int]) -> None:
    points, _ = clustered(300, 6, 4, seed=3)
    points = points + np.float16(0.5)
    view = view_of(points, labeled=np.arange(0, 60, 3), reserved=[100, 200])
    rows, scores = picked(view, 7, sub_batches=sub_batches)
    expected, probs = by_scikit_learn(points, view, sizes)
    assert rows == expected
    np.testing.assert_allclose(scores, probs, atol=1e-4)


def test_a_region_without_labels_is_chosen_first() -> None:
    generator = np.random.default_rng(0)
    centers = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 3.0]])
    regions = np.repeat([0, 1, 2], [400, 400, 40])
    points = centers[regions] + 0.2 * generator.standard_normal((840, 2))
    rows, scores = picked(view_of(points, labeled=np.arange(0, 800, 20)), 10, sub_batches=1)
    assert (regions[rows] == 2).all()
    assert (scores > 0.5).all()


def test_later_parts_leave_the_regions_of_earlier_ones() -> None:
    generator = np.random.default_rng(0)
    centers = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    regions = np.repeat([0, 1, 2], [100, 60, 60])
    points = centers[regions] + 0.1 * generator.standard_normal((220, 2))
    view = view_of(points, labeled=np.arange(0, 100, 5))
    at_once, _ = picked(view, 12, sub_batches=1)
    in_parts, _ = picked(view, 12, sub_batches=12)
    assert set(regions[at_once]) == {1}
    assert set(regions[in_parts]) == {1, 2}


def test_what_others_reserved_is_on_the_labeled_side() -> None:
    points, _ = clustered(400, 8, 3)
    reserved = picked(view_of(points, labeled=[3, 9], reserved=[20, 50]), 12)[0]
    labeled = picked(view_of(points, labeled=[3, 9, 20, 50]), 12)[0]
    assert reserved == labeled
    assert reserved != picked(view_of(points, labeled=[3, 9]), 12)[0]


def test_of_a_large_pool_a_sample_is_fit_and_all_rows_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST", 300)
    points, _ = clustered(3_000, 6, 4)
    labeled = np.sort(np.argsort(points[:, 0])[:30])
    # Rows that no sample of a tenth of the pool is likely to hold all of, on the other side.
    far = np.setdiff1d([100, 700, 1_500, 2_200, 2_999], labeled)
    points[far] = [9, 0, 0, 0, 0, 0]
    view = view_of(points, labeled=labeled)
    rows, _ = picked(view, len(far), seed=1, sub_batches=1)
    assert sorted(rows) == far.tolist()
    assert picked(view, 40, seed=1)[0] == picked(view, 40, seed=1)[0]
    assert picked(view, 40, seed=1)[0] != picked(view, 40, seed=2)[0]


def test_a_sample_is_larger_than_k(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST", 3)
    monkeypatch.setattr(module, "_MOST", 3)
    points, _ = clustered(200, 4, 2)
    rows, _ = picked(view_of(points, labeled=[0]), 90)
    assert len(set(rows)) == 90


def test_picks_join_the_labeled_side_whether_or_not_they_were_in_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST", 100)
    points, _ = clustered(2_000, 4, 2)
    sides: list[list[int]] = []
    labeled_rows: list[npt.NDArray[Any]] = []
    fit = LogisticFitter.fit

    def noted(self: LogisticFitter, features: Any, classes: Any, *rest: Any) -> Any:
        sides.append(np.bincount(classes).tolist())
        labeled_rows.append(features[classes == 0, :-1].copy())
        return fit(self, features, classes, *rest)

    monkeypatch.setattr(LogisticFitter, "fit", noted)
    rows, _ = picked(view_of(points, labeled=[4, 9]), 12, sub_batches=4)
    assert [labeled for labeled, _ in sides] == [2, 5, 8, 11]
    # Most picks are not among the hundred that were drawn.
    assert sides[-1][1] > 90
    expected = points[[4, 9, *rows[:9]]].astype(np.float32)
    assert sorted(map(tuple, labeled_rows[-1])) == sorted(map(tuple, expected))


@pytest.mark.parametrize("k", [1, 149, 150, 1_000])
@pytest.mark.parametrize("sub_batches", [1, 10, 500])
def test_as_many_free_rows_come_back_as_there_are(k: int, sub_batches: int) -> None:
    points, _ = clustered(200, 4, 2)
    free = np.zeros(200, np.bool_)
    free[50:] = True
    rows, scores = picked(view_of(points, free=free, labeled=[0, 3]), k, sub_batches=sub_batches)
    assert len(rows) == len(set(rows)) == len(scores) == min(k, 150)
    assert free[rows].all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_duplicates_tie_and_the_lower_row_comes_first() -> None:
    points, _ = clustered(100, 4, 2)
    twice = np.concatenate([points, points])
    rows, _ = picked(view_of(twice, labeled=[5, 105]), 20, sub_batches=1)
    assert rows[1::2] == [row + 100 for row in rows[::2]]


@pytest.mark.parametrize("value", [0.0, 1.0, 100.0])
def test_a_constant_pool_gives_its_lowest_rows(value: float) -> None:
    rows, scores = picked(view_of(np.full((60, 5), value), labeled=[0, 2]), 6)
    assert rows == [1, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(scores, 0.5, atol=1e-3)


def test_one_free_row_is_picked() -> None:
    points, _ = clustered(4, 3, 2)
    assert picked(view_of(points, free=[False, False, True, False], labeled=[0, 1, 3]), 5)[0] == [2]


def test_the_order_of_rows_does_not_change_the_picks() -> None:
    points, _ = clustered(500, 6, 3)
    order = np.random.default_rng(2).permutation(500)
    moved, _ = picked(view_of(points[order], labeled=np.sort(np.argsort(order)[[3, 20]])), 15)
    assert order[moved].tolist() == picked(view_of(points, labeled=[3, 20]), 15)[0]


class Hidden:
    """A head with one hidden layer, which keeps the second coordinate alone."""

    abilities = Ability.PROBABILITIES
    projection = Projection(np.array([[0.0], [1.0]], np.float32), np.zeros(1, np.float32))

    def penultimate(self, outputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.maximum(outputs, 0)


def test_penultimate_activations_are_what_the_classifier_sees() -> None:
    points = np.abs(np.random.default_rng(0).standard_normal((300, 2))).astype(np.float16)
    head: Any = Hidden()
    view = view_of(points, head=head, labeled=[1, 2])
    rows, _ = picked(view, 8, representation=Representation.PENULTIMATE)
    assert rows == by_scikit_learn(points[:, 1:], view, [1] * 8)[0]
    assert rows != picked(view, 8)[0]


def test_it_begins_with_a_label() -> None:
    assert DAL.needs_labels
    assert DAL.needs == Ability.NONE
