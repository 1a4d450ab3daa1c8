"""CORESET against greedy k-center by brute force in float64, and against the best k centers there are."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.selector.acquisition.core_set import CORESET, core_set
from services.selector.acquisition.covered import Distances
from services.selector.acquisition.parameters import DEFAULTS, Parameters, Representation
from services.selector.heads import Ability, Projection
from services.selector.scoring import PoolView, Shelf
from tests.selector.acquisition.views import view_of

DEFINES = ("CORESET",)

GENERATOR = np.random.default_rng(0)
Rows = list[int]


def normal(rows: int, dimension: int, seed: int = 0, mean: float = 0.0, spread: float = 1.0) -> npt.NDArray[np.float16]:
    values = mean + spread * np.random.default_rng(seed).standard_normal((rows, dimension))
    return values.astype(np.float16)


def to_nearest(points: npt.NDArray[Any], centers: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Squared distances by differences, one center after the other."""
    found = np.full(len(points), np.inf)
    for center in centers:
        found = np.minimum(found, np.square(points - center).sum(axis=1))
    return found


def greedy(points: npt.NDArray[Any], view: PoolView, k: int) -> tuple[Rows, list[float]]:
    points = points.astype(np.float64)
    centers = [points[row] for row in (*view.labeled, *view.reserved)] or [points.mean(axis=0)]
    squared = np.where(view.free, to_nearest(points, np.array(centers)), -1.0)
    rows, scores = [], []
    for _ in range(min(k, int(view.free.sum()))):
        row = int(np.argmax(squared))
        rows.append(row)
        scores.append(float(np.sqrt(squared[row])))
        squared = np.minimum(squared, np.square(points - points[row]).sum(axis=1))
        squared[~view.free] = squared[rows] = -1.0
    return rows, scores


def check(points: npt.NDArray[Any], view: PoolView, k: int, parameters: Parameters = DEFAULTS) -> None:
    picks = core_set(view, k, parameters, GENERATOR)
    rows, scores = greedy(points, view, k)
    assert picks.rows.tolist() == rows
    np.testing.assert_allclose(picks.scores, scores, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("mean", "spread"),
    [(0.0, 1.0), (0.0, 1e-3), (3.0, 1.0), (50.0, 0.5), (2000.0, 5.0)],
    ids=["centered", "small", "off centre", "far away", "very far away"],
)
def test_the_picks_are_those_of_brute_force_in_float64(mean: float, spread: float) -> None:
    points = normal(3_000, 24, mean=mean, spread=spread)
    labeled = np.sort(np.random.default_rng(1).choice(3_000, 40, replace=False))
    check(points, view_of(points, labeled=labeled), 200)


def test_many_centers_are_measured_in_several_passes() -> None:
    points = normal(1_500, 6)
    check(points, view_of(points, labeled=np.arange(0, 1_200, 4), reserved=np.arange(1, 1_200, 6)), 30)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_small_pool_with_many_ties_is_picked_from_as_by_brute_force(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 12))
    points = np.array(data.draw(st.lists(st.tuples(*[st.integers(-2, 2)] * 2), min_size=size, max_size=size)))
    states = np.array(data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)))
    view = view_of(
        points.astype(np.float16),
        free=states >= 2,
        labeled=np.flatnonzero(states == 0),
        reserved=np.flatnonzero(states == 1),
    )
    if view.free.any() and (states < 2).any():
        check(points, view, data.draw(st.integers(1, size + 2)))


def test_picks_do_not_depend_on_how_many_candidates_are_measured_in_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_FEWEST", 1), ("_MOST", 2), ("_STAY", 1)):
        monkeypatch.setattr(f"services.selector.acquisition.core_set.{name}", value)
    # Distances on a grid are full of ties, and 0.1 is not a number that float32 adds up exactly.
    grid = np.random.default_rng(4).integers(-2, 3, (150, 3)) * 0.1 + 3.0
    for points in (grid.astype(np.float16), normal(300, 4)):
        check(points, view_of(points, labeled=[7, 40], reserved=[60]), 60)


@pytest.mark.parametrize("seed", range(5))
def test_the_radius_is_at_most_twice_the_least_that_k_centers_can_reach(seed: int) -> None:
    points = normal(13, 2, seed)
    exact = points.astype(np.float64)
    labeled = np.array([5])
    picks = core_set(view_of(points, labeled=labeled), 3, DEFAULTS, GENERATOR)
    radius = np.sqrt(to_nearest(exact, exact[[*labeled, *picks.rows]]).max())
    least = min(
        np.sqrt(to_nearest(exact, exact[[*labeled, *rows]]).max())
        for rows in itertools.combinations(set(range(13)) - {5}, 3)
    )
    assert least <= radius <= 2 * least


def test_without_labels_the_row_farthest_from_the_mean_comes_first() -> None:
    points = normal(500, 8, mean=1.0)
    exact = points.astype(np.float64)
    picks = core_set(view_of(points), 20, DEFAULTS, GENERATOR)
    assert picks.rows[0] == np.argmax(np.square(exact - exact.mean(axis=0)).sum(axis=1))
    check(points, view_of(points), 20)


def test_what_others_reserved_counts_as_labeled() -> None:
    points = normal(300, 4)
    rows = np.array([3, 70, 200])
    reserved = core_set(view_of(points, reserved=rows), 20, DEFAULTS, GENERATOR)
    labeled = core_set(view_of(points, labeled=rows), 20, DEFAULTS, GENERATOR)
    assert reserved.rows.tolist() == labeled.rows.tolist()


def test_kept_distances_follow_labels_reservations_and_a_growing_pool() -> None:
    points = normal(9_000, 6, mean=20.0)
    shelf = Shelf(1 << 30)
    moments: list[tuple[int, Rows, Rows]] = [
        (4_000, [], []),
        (4_000, [1, 3_000], []),
        (4_000, [1, 3_000], [17]),
        (4_000, [1, 17, 2_000, 3_000], []),
        (4_000, [1, 2_000], [17]),
        (6_000, [1, 2_000], []),
        (9_000, [1, 500, 2_000, 5_500], [8_500]),
        (9_000, [], []),
    ]
    for rows, labeled, reserved in moments:
        check(points[:rows], view_of(points[:rows], labeled=labeled, reserved=reserved, shelf=shelf), 15)
        if labeled:
            view = view_of(points[:rows], labeled=labeled, shelf=shelf)
            exact = points[:rows].astype(np.float64)
            kept = Distances(view, view.embeddings).to_labeled()
            assert kept.rows.tolist() == labeled
            np.testing.assert_allclose(kept.squared, to_nearest(exact, exact[labeled]), atol=1e-3)


def test_a_pool_that_grows_to_another_place_is_measured_about_its_new_mean() -> None:
    points = np.concatenate([normal(40, 16, mean=1_000.0, spread=2), normal(8_000, 16, mean=-1_000.0, spread=2)])
    shelf = Shelf(1 << 30)
    check(points[:40], view_of(points[:40], labeled=[5], shelf=shelf), 20)
    view = view_of(points, labeled=[5, 2_000], shelf=shelf)
    check(points, view, 20)
    distances = Distances(view, view.embeddings)
    squared = distances.to_labeled().squared
    assert distances.uncertainty(squared)[40:].max() < np.median(squared) / 100


def test_only_new_labels_and_new_rows_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    points = normal(4_000, 4)
    shelf = Shelf(1 << 30)
    measured: list[tuple[int, int]] = []
    lower = Distances.lower

    def noted(self: Distances, squared: Any, centers: Any, start: int = 0) -> None:
        measured.append((len(centers), start))
        lower(self, squared, centers, start)

    monkeypatch.setattr(Distances, "lower", noted)
    moments = [(3_000, [3, 8]), (3_000, [3, 8]), (3_000, [3, 5, 8]), (4_000, [3, 5, 8]), (4_000, [3, 5])]
    found = []
    for rows, labeled in moments:
        view = view_of(points[:rows], labeled=labeled, shelf=shelf)
        Distances(view, view.embeddings).to_labeled()
        found.append([each for each in measured if each[0]])
        measured.clear()
    assert found == [[(2, 0)], [], [(1, 0)], [(3, 3_000)], [(2, 0)]]


@pytest.mark.parametrize("mean", [0.0, 1.0, 500.0])
def test_uncertainty_bounds_the_rounding_of_distances(mean: float) -> None:
    points = normal(3_000, 48, mean=mean)
    view = view_of(points, labeled=np.arange(0, 3_000, 50))
    exact = points.astype(np.float64)
    distances = Distances(view, view.embeddings)
    squared = distances.to_labeled().squared
    errors = np.abs(squared - to_nearest(exact, exact[view.labeled]))
    uncertain = distances.uncertainty(squared)
    assert (errors <= uncertain).all()
    # A bound that holds whatever happens would be of no use.
    assert uncertain.max() < np.median(squared) / 100
    assert errors.max() > uncertain.max() / 1_000


@pytest.mark.parametrize("mean", [0.0, 7.0, 1_000.0])
def test_duplicates_of_centers_are_at_distance_0_and_come_last(mean: float) -> None:
    different = normal(40, 32, mean=mean, spread=0.01 * max(mean, 1))
    points = np.concatenate([different, different, different])
    view = view_of(points, labeled=[0, 41])
    picks = core_set(view, 200, DEFAULTS, GENERATOR)
    assert picks.rows.tolist() == greedy(points, view, 200)[0]
    assert np.count_nonzero(picks.scores) == 38
    assert (picks.scores[38:] == 0).all()
    assert picks.rows[38:].tolist() == sorted(picks.rows[38:])


def test_thousands_of_duplicates_end_with_the_lowest_rows() -> None:
    points = np.tile(normal(7, 33, mean=7.0, spread=3.3), (1_000, 1))
    view = view_of(points, labeled=[301])
    picks = core_set(view, 30, DEFAULTS, GENERATOR)
    assert picks.rows.tolist() == greedy(points, view, 30)[0]
    assert np.count_nonzero(picks.scores) == 6


@pytest.mark.parametrize("value", [0.0, 0.1, 300.0])
@pytest.mark.parametrize("labeled", [[], [4, 7]])
def test_a_constant_pool_gives_its_lowest_rows(value: float, labeled: Rows) -> None:
    view = view_of(np.full((5_000, 16), value), labeled=labeled)
    picks = core_set(view, 30, DEFAULTS, GENERATOR)
    assert picks.rows.tolist() == np.flatnonzero(view.free)[:30].tolist()
    np.testing.assert_allclose(picks.scores, 0, atol=1e-4 * value)


def test_thousands_of_rows_that_are_equally_far_end_with_the_lowest() -> None:
    points = np.zeros((6_000, 12))
    points[np.arange(6_000), np.arange(6_000) % 12] = 1.0
    check(points, view_of(points, labeled=[0, 13]), 40)


@pytest.mark.parametrize("k", [1, 299, 300, 5_000])
def test_as_many_free_rows_come_back_as_there_are(k: int) -> None:
    points = normal(400, 4)
    free = np.zeros(400, np.bool_)
    free[np.random.default_rng(3).choice(np.arange(10, 400), 300, replace=False)] = True
    picks = core_set(view_of(points, free=free, labeled=[1]), k, DEFAULTS, GENERATOR)
    assert len(picks.rows) == len(set(picks.rows.tolist())) == len(picks.scores) == min(k, 300)
    assert free[picks.rows].all()
    assert (np.diff(picks.scores) <= 0).all()


def test_one_free_row_is_picked() -> None:
    picks = core_set(view_of(normal(3, 4), free=[False, True, False], labeled=[0]), 5, DEFAULTS, GENERATOR)
    assert picks.rows.tolist() == [1]


def test_asking_for_more_leaves_the_first_picks_as_they_are() -> None:
    points = normal(2_000, 8)
    view = view_of(points, labeled=[3])
    more = core_set(view, 60, DEFAULTS, GENERATOR)
    for k in (1, 7, 40):
        assert core_set(view, k, DEFAULTS, GENERATOR).rows.tolist() == more.rows[:k].tolist()
    assert CORESET.extends


def test_the_order_of_rows_does_not_change_the_picks() -> None:
    points = normal(1_000, 8, mean=4.0)
    order = np.random.default_rng(2).permutation(1_000)
    at = np.argsort(order)
    picks = core_set(view_of(points, labeled=[3, 20]), 30, DEFAULTS, GENERATOR)
    moved = core_set(view_of(points[order], labeled=np.sort(at[[3, 20]])), 30, DEFAULTS, GENERATOR)
    assert order[moved.rows].tolist() == picks.rows.tolist()


class Hidden:
    """A head with one hidden layer."""

    kind = "HIDDEN"
    abilities = Ability.PROBABILITIES
    labels = ("no", "yes")

    def __init__(self, weights: npt.NDArray[np.float32]) -> None:
        self.projection = Projection(weights, np.zeros(weights.shape[1], np.float32))

    def penultimate(self, outputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.maximum(outputs, 0)


def test_penultimate_activations_move_with_the_head() -> None:
    points = normal(1_000, 8)
    shelf = Shelf(1 << 30)
    penultimate = Parameters(representation=Representation.PENULTIMATE)
    for version in (1, 2):
        head: Any = Hidden(np.random.default_rng(version).standard_normal((8, 3)).astype(np.float32))
        view = view_of(points, labeled=[2, 9], head=head, head_version=version, shelf=shelf)
        activations = view.representation(penultimate).gather(np.arange(1_000))
        check(activations, view, 25, penultimate)
        # The embeddings have kept distances of their own.
        check(points, view, 25)


def test_without_a_head_penultimate_activations_are_the_embeddings() -> None:
    points = normal(200, 8)
    check(points, view_of(points, labeled=[2]), 10, Parameters(representation=Representation.PENULTIMATE))
