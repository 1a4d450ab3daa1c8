"""KMEANS against the clusters it is said to represent."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from services.selector.acquisition import clusters as clusters_module
from services.selector.acquisition.k_means import KMEANS, representatives
from services.selector.acquisition.parameters import DEFAULTS
from tests.selector.acquisition.views import clustered, view_of

DEFINES = ("KMEANS",)


def picked(view, k, seed=0):
    return KMEANS.pick(view, k, DEFAULTS, np.random.default_rng(seed))


def by_definition(clusters, distances, k):
    """One from each cluster in turn, from the largest on, the nearest first."""
    members = {c: sorted(np.flatnonzero(clusters == c), key=lambda row: (distances[row], row)) for c in set(clusters)}
    order = sorted(members, key=lambda c: (-len(members[c]), c))
    found = [members[c][rank] for rank in range(len(clusters)) for c in order if rank < len(members[c])]
    return found[:k]


@pytest.mark.parametrize("seed", range(5))
def test_representatives_are_the_nearest_of_each_cluster_in_turn(seed):
    generator = np.random.default_rng(seed)
    clusters = generator.integers(0, 6, 40) * 2
    distances = generator.integers(0, 8, 40) / 8
    for k in (1, 4, 6, 9, 40, 50):
        assert representatives(clusters, distances, k).tolist() == by_definition(clusters, distances, k)


@pytest.mark.parametrize("seed", range(3))
def test_each_blob_gives_its_most_central_item_the_largest_first(seed):
    generator = np.random.default_rng(seed)
    sizes = generator.permutation([30, 60, 90, 120, 150, 180, 210, 240])
    blobs = generator.permutation(np.repeat(np.arange(8), sizes))
    centres = 10 * generator.standard_normal((8, 16))
    points = (centres[blobs] + generator.standard_normal((len(blobs), 16))).astype(np.float16)
    found = picked(view_of(points), 8, seed)
    assert blobs[found.rows].tolist() == np.argsort(-sizes).tolist()
    np.testing.assert_allclose(found.scores, np.sort(sizes)[::-1] / sizes.sum())
    for row in found.rows:
        members = np.flatnonzero(blobs == blobs[row])
        exact = points[members].astype(np.float64)
        distances = np.linalg.norm(exact - exact.mean(axis=0), axis=1)
        # The centre of the blob is that of its cluster up to rounding.
        assert distances[members == row][0] <= distances.min() + 1e-3


def test_the_picks_represent_the_pool_better_than_random_ones_and_as_well_as_those_of_scikit_learn():
    points = clustered(2_000, 12, 10, spread=0.6)[0].astype(np.float64)
    rows = picked(view_of(points), 10).rows

    def inertia(centres):
        return cdist(points, centres, "sqeuclidean").min(axis=1).sum()

    drawn = [inertia(points[np.random.default_rng(s).choice(2_000, 10, replace=False)]) for s in range(20)]
    assert inertia(points[rows]) < min(drawn)
    theirs = KMeans(10, n_init=5, random_state=0).fit(points).cluster_centers_
    medoids = points[cdist(points, theirs).argmin(axis=0)]
    assert inertia(points[rows]) <= 1.03 * inertia(medoids)


def test_only_free_rows_are_clustered():
    points, blobs = clustered(600, 12, 4, spread=0.1)
    free = (blobs != 2) & (np.arange(600) % 2 == 0)
    found = picked(view_of(points, free=free), 3).rows
    assert sorted(blobs[found].tolist()) == [0, 1, 3]
    assert free[found].all()


def test_clusters_of_a_sample_are_represented_by_rows_of_the_whole_pool(monkeypatch):
    monkeypatch.setattr(clusters_module, "_SAMPLE_ROWS", 100)
    monkeypatch.setattr(clusters_module, "_SAMPLE_ROWS_A_CLUSTER", 1)
    points, blobs = clustered(3_000, 12, 4, spread=0.1)
    found = picked(view_of(points), 4)
    assert sorted(blobs[found.rows].tolist()) == [0, 1, 2, 3]
    np.testing.assert_allclose(found.scores, np.bincount(blobs)[blobs[found.rows]] / 3_000)


def test_the_seed_decides():
    points = clustered(500, 12, 4, spread=3)[0]
    assert picked(view_of(points), 20, 1).rows.tolist() == picked(view_of(points), 20, 1).rows.tolist()
    assert picked(view_of(points), 20, 1).rows.tolist() != picked(view_of(points), 20, 2).rows.tolist()


@pytest.mark.parametrize("k", [1, 3, 4, 5, 8, 9, 20])
def test_fewer_different_items_than_wanted_give_as_many_rows(k):
    points = np.repeat(np.eye(3, dtype=np.float16), 3, axis=0)
    found = picked(view_of(points), k)
    assert len(found.rows) == len(found.scores) == len(set(found.rows.tolist())) == min(k, 9)
    if k < 9:
        assert len({row // 3 for row in found.rows[:3].tolist()}) == min(k, 3)
    assert np.isfinite(found.scores).all()
