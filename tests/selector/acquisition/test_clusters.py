"""k-means of pools, and what is kept of it."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from services.selector.acquisition import clusters as module
from services.selector.acquisition.clusters import assigned, base_rows, k_means, pool_clusters
from services.selector.scoring import Shelf
from tests.selector.acquisition.views import clustered, view_of


def inertia(points, centroids):
    return cdist(points.astype(np.float64), centroids.astype(np.float64), "sqeuclidean").min(axis=1).sum()


def points_of(rows, dimension=16, blobs=8, spread=0.5, seed=0):
    return clustered(rows, dimension, blobs, seed, spread)[0].astype(np.float32)


@pytest.mark.parametrize(("blobs", "spread"), [(8, 0.3), (20, 0.5), (5, 3.0)])
def test_the_sum_of_squares_is_that_of_scikit_learn(blobs, spread):
    points = points_of(3_000, blobs=blobs, spread=spread)
    ours = inertia(points, k_means(points, blobs, 1))
    theirs = KMeans(blobs, n_init=5, random_state=0).fit(points).inertia_
    assert ours <= 1.03 * theirs


def test_many_clusters_start_from_an_approximation_as_good(monkeypatch):
    points = points_of(4_000, blobs=40, spread=0.3)
    exact = inertia(points, k_means(points, 60, 1))
    monkeypatch.setattr(module, "_LARGE_PRODUCTS", 0)
    assert inertia(points, k_means(points, 60, 1)) <= 1.1 * exact


def test_the_order_of_points_changes_no_centroid():
    points = points_of(700)
    points[5] = points[400]
    shuffled = points[np.random.default_rng(1).permutation(700)]
    np.testing.assert_array_equal(k_means(shuffled, 12, 3), k_means(points, 12, 3))


def test_another_seed_starts_elsewhere():
    points = points_of(700, spread=3)
    assert not np.array_equal(k_means(points, 40, 3), k_means(points, 40, 4))


def test_there_are_no_more_centroids_than_points():
    assert k_means(points_of(5), 9, 0).shape == (5, 16)
    assert k_means(np.zeros((4, 3), np.float32), 4, 0).shape == (4, 3)


def test_no_warning_is_printed_of_few_points(capfd):
    k_means(points_of(40), 30, 0)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("part", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 7, 1_100])
def test_rows_are_assigned_to_the_nearest_centroid(part, count):
    points = points_of(3_000)
    rows = np.flatnonzero(np.random.default_rng(0).random(3_000) < part)
    centroids = np.random.default_rng(1).standard_normal((count, 16)).astype(np.float32) / 4
    numbers, squared = assigned(view_of(points).embeddings, rows, centroids)
    exact = cdist(points[rows].astype(np.float64), centroids.astype(np.float64), "sqeuclidean")
    np.testing.assert_allclose(squared, exact.min(axis=1), rtol=0, atol=1e-5)
    np.testing.assert_allclose(exact[np.arange(len(rows)), numbers], exact.min(axis=1), rtol=0, atol=1e-5)


def test_rows_equally_near_go_to_the_first_centroid():
    numbers, _ = assigned(view_of(points_of(50)).embeddings, np.arange(50), np.ones((1_500, 16), np.float32))
    assert not numbers.any()


def test_the_base_of_a_pool_is_most_of_it_and_changes_seldom():
    bases = np.array([base_rows(rows) for rows in range(1, 30_000)])
    rows = np.arange(1, 30_000)
    assert (bases <= rows).all()
    assert (bases >= rows * 0.84).all()
    assert (bases[:4_096] == rows[:4_096]).all()
    assert len(set(bases[4_096:])) < 14


def test_a_pool_of_a_growing_shelf_has_the_clusters_of_one_seen_for_the_first_time(monkeypatch):
    monkeypatch.setattr(module, "_SMALL_POOL", 1_500)
    points, shelf = points_of(2_500), Shelf(1 << 30)
    for rows in (100, 101, 1_500, 1_510, 1_700, 1_900, 2_500):
        grown = pool_clusters(view_of(points[:rows], shelf=shelf), 10)
        anew = pool_clusters(view_of(points[:rows]), 10)
        assert len(grown.members) == rows
        for found in ("base", "spread"):
            assert getattr(grown, found) == getattr(anew, found)
        np.testing.assert_array_equal(grown.centroids, anew.centroids)
        np.testing.assert_array_equal(grown.members, anew.members)


def test_added_rows_join_the_clusters_there_are_without_another_k_means(monkeypatch):
    points, shelf = points_of(5_800), Shelf(1 << 30)
    before = pool_clusters(view_of(points[:5_000], shelf=shelf), 10)
    monkeypatch.delattr(module, "k_means")
    after = pool_clusters(view_of(points[:5_700], shelf=shelf), 10)
    np.testing.assert_array_equal(after.members[:5_000], before.members)
    nearest = cdist(points[:5_700], before.centroids).argmin(axis=1)
    assert (after.members == nearest).mean() > 0.999
    assert pool_clusters(view_of(points[:5_700], shelf=shelf), 10) is after
    with pytest.raises(NameError):
        pool_clusters(view_of(points, shelf=shelf), 10)


def test_the_spread_is_the_mean_squared_distance_to_the_own_centroid():
    points = points_of(900)
    found = pool_clusters(view_of(points), 9)
    np.testing.assert_allclose(found.spread, inertia(points, found.centroids) / 900, rtol=1e-4)


def test_centroids_of_a_sample_are_nearly_as_good(monkeypatch):
    points = points_of(4_000, blobs=6)
    whole = inertia(points, pool_clusters(view_of(points), 6).centroids)
    monkeypatch.setattr(module, "_SAMPLE_ROWS", 600)
    assert inertia(points, pool_clusters(view_of(points), 6).centroids) <= 1.05 * whole
