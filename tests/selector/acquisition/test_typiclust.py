"""TYPICLUST against its definition written out."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from services.selector.acquisition import clusters as clusters_module
from services.selector.acquisition import typiclust as module
from services.selector.acquisition.clusters import pool_clusters
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.typiclust import TYPICLUST, rounded_up, turns, typicality
from services.selector.scoring import Shelf
from tests.selector.acquisition.views import clustered, view_of

DEFINES = ("TYPICLUST",)


def picked(view, k, **changed):
    return TYPICLUST.pick(view, k, Parameters(**changed), np.random.default_rng(0))


def typicality_by_definition(points, neighbours):
    distances = np.sort(cdist(points.astype(np.float64), points.astype(np.float64)), axis=1)[:, 1 : neighbours + 1]
    return 1 / distances.mean(axis=1)


def picks_by_definition(view, k, clusters, neighbours):
    points = view.embeddings.gather(np.arange(len(view.free)))
    members = pool_clusters(view, clusters).members
    typical = np.zeros(len(points))
    for cluster in set(members.tolist()):
        rows = np.flatnonzero(members == cluster)
        typical[rows] = typicality_by_definition(points[rows], neighbours) if len(rows) > 1 else 0
    taken = set(view.labeled.tolist()) | set(view.reserved.tolist())
    sizes = np.bincount(members)
    found = []
    for _ in range(k):
        free = [row for row in np.flatnonzero(view.free) if row not in found]
        open_clusters = {int(members[row]) for row in free}
        large = {cluster for cluster in open_clusters if sizes[cluster] >= 5} or open_clusters
        held = {c: sum(members[row] == c for row in taken | set(found)) for c in large}
        cluster = min(large, key=lambda c: (held[c], -sizes[c], c))
        found.append(max((row for row in free if members[row] == cluster), key=lambda row: (typical[row], -row)))
    return found


@pytest.mark.parametrize("neighbours", [1, 5, 20, 300])
def test_typicality_is_the_inverse_mean_distance_to_the_nearest(neighbours):
    points = clustered(200, 12, 4)[0].astype(np.float32)
    expected = typicality_by_definition(points, neighbours)
    np.testing.assert_allclose(typicality(points, neighbours), expected, rtol=1e-4)


def test_typicality_is_finite_for_equal_points_and_for_one():
    assert typicality(np.zeros((1, 3), np.float32), 5).tolist() == [0.0]
    equal = typicality(np.full((30, 8), 0.3, np.float32), 5)
    assert set(equal.tolist()) == {1e6}
    points = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
    points[:30] = points[0]
    found = typicality(points, 5)
    assert len(set(found[:30].tolist())) == 1
    assert found[0] > 10 * found[30:].max()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("k", "clusters", "neighbours"), [(1, 4, 20), (12, 6, 3), (40, 25, 20), (100, 60, 5)])
def test_the_picks_are_those_of_the_definition(seed, k, clusters, neighbours):
    generator = np.random.default_rng(seed)
    rows = generator.permutation(240)
    labeled, reserved = np.sort(rows[:15]), np.sort(rows[15:25])
    free = np.ones(240, np.bool_)
    free[rows[:60]] = False
    view = view_of(clustered(240, 12, 5, seed)[0], labeled=labeled, reserved=reserved, free=free)
    found = picked(view, k, clusters=clusters, neighbours=neighbours)
    assert found.rows.tolist() == picks_by_definition(view, k, clusters, neighbours)
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize("seed", range(3))
def test_each_blob_without_a_label_gives_one(seed):
    points, blobs = clustered(600, 16, 8, seed, spread=0.1)
    found = picked(view_of(points), 8).rows
    assert sorted(blobs[found].tolist()) == list(range(8))
    labeled = np.sort([np.flatnonzero(blobs == blob)[0] for blob in range(5)])
    found = picked(view_of(points, labeled=labeled[:3], reserved=labeled[3:]), 3).rows
    assert sorted(blobs[found].tolist()) == [5, 6, 7]


def test_a_typical_item_is_not_at_the_border_of_its_blob():
    points = np.concatenate([np.random.default_rng(0).standard_normal((300, 4)), np.full((3, 4), 30.0)])
    row = picked(view_of(points), 1, clusters=1).rows[0]
    norms = np.linalg.norm(points, axis=1)
    assert norms[row] < np.quantile(norms, 0.2)


def test_outliers_have_their_turn_last():
    order = list(turns(np.array([4, 9, 9, 5]), np.array([0, 2, 1, 1]), np.array([2, 1, 3, 2])))
    assert order == [2, 3, 1, 2, 3, 2, 0, 0]


def test_the_number_of_clusters_is_rounded_up_by_a_quarter_at_most():
    rounded = [rounded_up(count) for count in range(1, 2_000)]
    assert all(count <= found <= 1.25 * count for count, found in enumerate(rounded, 1))
    assert rounded[:8] == list(range(1, 9))
    assert len(set(rounded[:512])) < 40
    assert all(rounded_up(found) == found for found in rounded)


def test_clusters_and_typicality_are_kept_for_the_next_call(monkeypatch):
    points, shelf = clustered(600, 12, 8)[0], Shelf(1 << 30)
    first = picked(view_of(points, shelf=shelf), 9).rows
    monkeypatch.delattr(module, "typicality")
    np.testing.assert_array_equal(picked(view_of(points, shelf=shelf), 9).rows, first)
    again = picked(view_of(points, shelf=shelf, labeled=np.sort(first[:1])), 8).rows
    assert sorted(again.tolist()) == sorted(first[1:].tolist())


def test_a_pool_that_grew_is_as_one_seen_for_the_first_time(monkeypatch):
    monkeypatch.setattr(clusters_module, "_SMALL_POOL", 200)
    points, shelf = clustered(600, 12, 8)[0], Shelf(1 << 30)
    for rows in (1, 3, 60, 210, 215, 230, 600):
        grown = picked(view_of(points[:rows], shelf=shelf), 30)
        anew = picked(view_of(points[:rows]), 30)
        np.testing.assert_array_equal(grown.rows, anew.rows)
        np.testing.assert_array_equal(grown.scores, anew.scores)
        assert len(set(grown.rows.tolist())) == min(rows, 30)


def test_a_large_cluster_is_represented_by_a_part_of_it(monkeypatch):
    monkeypatch.setattr(module, "_LOOKED_AT", 100)
    points = clustered(500, 12, 1)[0]
    found = picked(view_of(points), 150, clusters=1)
    assert len(set(found.rows.tolist())) == 150
    assert (found.scores[:100] > 0).all()
    assert (found.scores[100:] == 0).all()
    looked_at = np.sort(found.rows[:100])
    expected = np.sort(typicality_by_definition(points[looked_at], 20))[::-1]
    np.testing.assert_allclose(found.scores[:100], expected, rtol=1e-3)


def test_the_order_of_rows_changes_no_pick():
    points = clustered(300, 12, 4)[0]
    order = np.random.default_rng(2).permutation(300)
    assert order[picked(view_of(points[order]), 20).rows].tolist() == picked(view_of(points), 20).rows.tolist()
