"""PROB_COVER against greedy coverage, optimal coverage and purity written out."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from services.selector.acquisition import prob_cover as module
from services.selector.acquisition.parameters import DEFAULTS, Parameters
from services.selector.acquisition.prob_cover import PROB_COVER, balls, greedy_cover, packed, purity_radius
from tests.selector.acquisition.views import clustered, view_of

DEFINES = ("PROB_COVER",)


def picked(view, k, seed=0, **changed):
    return PROB_COVER.pick(view, k, Parameters(**changed), np.random.default_rng(seed))


def unpacked(graph, count):
    return np.unpackbits(graph.view(np.uint8), axis=-1)[..., :count].astype(np.bool_)


def graph_of(close):
    return np.stack([packed(row) for row in close])


def random_graph(generator, count, part):
    close = generator.random((count, count)) < part
    return close | close.T | np.eye(count, dtype=np.bool_)


def greedy_by_definition(close, covered, k):
    open_points, found, gains = ~covered, [], []
    for _ in range(k):
        if not open_points.any():
            open_points = np.ones(len(close), np.bool_)
            open_points[found] = False
        counts = (close & open_points).sum(axis=1)
        counts[found] = -1
        found.append(int(counts.argmax()))
        gains.append(int(counts.max()))
        open_points &= ~close[found[-1]]
    return found, gains


@pytest.mark.parametrize(("count", "part"), [(1, 0.5), (64, 0.05), (65, 0.3), (700, 0.004), (700, 0.02), (900, 1.0)])
def test_greedy_coverage_is_that_of_counting_all_each_time(count, part):
    generator = np.random.default_rng(count)
    close = random_graph(generator, count, part)
    covered = generator.random(count) < 0.2
    k = min(count, 150)
    found, gains = greedy_cover(graph_of(close), covered, k)
    expected = greedy_by_definition(close, covered, k)
    assert found.tolist() == expected[0]
    assert gains.tolist() == expected[1]


def test_every_point_is_picked_once_when_all_are_wanted():
    close = random_graph(np.random.default_rng(1), 120, 0.05)
    found, gains = greedy_cover(graph_of(close), np.ones(120, np.bool_), 120)
    assert sorted(found.tolist()) == list(range(120))
    assert (gains >= 1).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.floats(0.05, 0.5))
def test_coverage_is_at_least_that_part_of_the_optimum(seed, k, part):
    close = random_graph(np.random.default_rng(seed), 11, part)
    found, _ = greedy_cover(graph_of(close), np.zeros(11, np.bool_), k)
    optimum = max(close[list(chosen)].any(axis=0).sum() for chosen in combinations(range(11), k))
    assert close[found].any(axis=0).sum() >= (1 - 1 / np.e) * optimum


@pytest.mark.parametrize("count", [1, 7, 512, 513, 1_200])
def test_balls_hold_what_is_within_the_radius(count):
    points = np.random.default_rng(0).standard_normal((count, 6)).astype(np.float32)
    distances = cdist(points.astype(np.float64), points.astype(np.float64))
    for radius in (1e-3, 1.5, 3.0, np.inf):
        found = unpacked(balls(points, radius), count)
        unsure = np.abs(distances - radius) < 1e-5
        np.testing.assert_array_equal(found | unsure, (distances <= radius) | unsure)
        assert found.diagonal().all()
        np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("purity", [0.5, 0.95, 1.0])
def test_the_radius_is_the_largest_of_pure_balls(purity):
    points, blobs = clustered(300, 5, 4)
    points = points.astype(np.float32)
    rows = np.arange(0, 300, 2)
    radius = purity_radius(points, blobs, rows, purity)
    distances = cdist(points[rows].astype(np.float64), points.astype(np.float64))

    def pure(delta):
        return np.mean([set(blobs[d <= delta]) == {blobs[row]} for row, d in zip(rows, distances, strict=True)])

    assert pure(radius * 0.9999) >= purity > pure(radius * 1.0001)


def test_one_cluster_has_no_border():
    assert purity_radius(np.zeros((5, 2), np.float32), np.zeros(5, np.int64), np.arange(5)) == np.inf


@pytest.mark.parametrize("seed", range(4))
def test_the_picks_cover_most_of_what_labels_leave(seed):
    points = clustered(400, 6, 4, seed)[0]
    generator = np.random.default_rng(seed)
    held = np.sort(generator.choice(400, 20, replace=False))
    view = view_of(points, labeled=held[::2], reserved=held[1::2])
    rows = np.flatnonzero(view.free)
    exact = points.astype(np.float64)
    distances = cdist(exact[rows], exact[rows])
    radius = float(np.quantile(distances, 0.04))
    covered = (cdist(exact[rows], exact[held]) <= radius).any(axis=1)
    expected, gains = greedy_by_definition(distances <= radius, covered, 25)
    found = picked(view, 25, radius=radius)
    assert found.rows.tolist() == rows[expected].tolist()
    np.testing.assert_allclose(found.scores, np.array(gains) / 380)


def test_each_blob_gives_one_without_a_label_or_a_radius():
    points, blobs = clustered(800, 16, 10, spread=0.1)
    found = picked(view_of(points), 10).rows
    assert sorted(blobs[found].tolist()) == list(range(10))


def test_there_are_as_many_clusters_as_classes_among_the_labels(monkeypatch):
    asked = []
    real = module.k_means
    monkeypatch.setattr(module, "k_means", lambda points, count, seed: asked.append(count) or real(points, count, seed))
    points = clustered(100, 6, 4)[0]
    for classes in ([], [-1, -1, -1], [1, 1, 1], [0, 5, -1], [0, 1, 2]):
        picked(view_of(points, labeled=np.arange(len(classes)), classes=classes), 2)
    assert asked == [10, 10, 10, 2, 3]


@pytest.mark.parametrize("filled", [0, 0.3])
@pytest.mark.parametrize("k", [1, 5, 40, 60])
def test_equal_items_are_picked_in_order(filled, k):
    found = picked(view_of(np.full((40, 6), filled)), k)
    assert found.rows.tolist() == list(range(min(k, 40)))
    assert found.scores[0] == 1


def test_a_few_more_picks_leave_the_first_as_they_are():
    view = view_of(clustered(500, 6, 4)[0])
    assert picked(view, 30).rows[:20].tolist() == picked(view, 20).rows.tolist()


def test_more_rows_than_the_graph_holds_are_drawn_from(monkeypatch):
    monkeypatch.setattr(module, "_MAX_ROWS", 100)
    view = view_of(clustered(500, 6, 4)[0])
    first, other = picked(view, 30, seed=1).rows, picked(view, 30, seed=2).rows
    assert len(set(first.tolist())) == 30
    assert first.tolist() == picked(view, 30, seed=1).rows.tolist() != other.tolist()
    assert len(set(picked(view, 400).rows.tolist())) == 400


def test_its_default_is_a_sub_pool():
    assert PROB_COVER.sub_pool == 20_000
    assert DEFAULTS.radius is None
