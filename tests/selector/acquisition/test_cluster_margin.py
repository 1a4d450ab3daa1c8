"""CLUSTER_MARGIN against agglomerative clustering and a round robin written out."""

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from services.selector.acquisition import cluster_margin as module
from services.selector.acquisition.cluster_margin import CLUSTER_MARGIN, clusters_of, cut, round_robin, tree
from services.selector.acquisition.margin import MARGIN
from services.selector.acquisition.parameters import DEFAULTS, Parameters
from services.selector.scoring import Shelf
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("CLUSTER_MARGIN",)


def situation(rows=400, labeled=30, spread=1.5, **given):
    points, numbers = clustered(rows, 12, 3, spread=spread)
    known = np.arange(labeled)
    head = fitted(points, known, numbers[known])
    return view_of(points, head=head, labeled=known, classes=numbers[known], **given)


def picked(view, k, **changed):
    return CLUSTER_MARGIN.pick(view, k, Parameters(**changed), np.random.default_rng(0))


def partition(numbers):
    return {tuple(np.flatnonzero(numbers == number)) for number in set(numbers.tolist())}


def round_robin_by_definition(clusters, k):
    queues = {}
    for position, cluster in enumerate(clusters):
        queues.setdefault(cluster, []).append(position)
    # dicts are in the order of each cluster's best candidate, and sorting is stable.
    order = sorted(queues.values(), key=len)
    found = []
    while len(found) < min(k, len(clusters)):
        found += [queue.pop(0) for queue in order if queue]
    return found[:k]


@pytest.mark.parametrize("clusters", [1, 2, 7, 40, 150])
@pytest.mark.parametrize("offset", [0, 30])
def test_the_clusters_are_those_of_average_linkage(clusters, offset):
    points = (clustered(150, 8, 5)[0] + np.float16(offset)).astype(np.float32)
    expected = AgglomerativeClustering(clusters, linkage="average").fit_predict(points.astype(np.float64))
    assert partition(cut(tree(points), clusters)) == partition(expected)


@pytest.mark.parametrize("seed", range(6))
def test_the_round_robin_is_that_of_the_paper(seed):
    clusters = np.random.default_rng(seed).geometric(0.3, 40)
    for k in (0, 1, 5, 17, 40, 60):
        assert round_robin(clusters, k).tolist() == round_robin_by_definition(clusters.tolist(), k)


@pytest.mark.parametrize(("k", "candidates", "clusters"), [(10, 4, 6), (5, 10, 40), (30, 1, 20)])
def test_the_picks_are_the_smallest_margins_of_each_cluster_in_turn(k, candidates, clusters):
    view = situation()
    margins = view.scores(MARGIN, DEFAULTS)
    lowest = sorted(np.flatnonzero(view.free), key=lambda row: (-margins[row], row))[: candidates * k]
    points = view.embeddings.gather(np.arange(400)).astype(np.float64)
    numbers = AgglomerativeClustering(clusters, linkage="average").fit_predict(points)
    expected = [lowest[position] for position in round_robin_by_definition(numbers[lowest].tolist(), k)]
    found = picked(view, k, candidates=candidates, clusters=clusters)
    assert found.rows.tolist() == expected
    np.testing.assert_array_equal(found.scores, margins[expected])


def test_the_order_of_rows_changes_no_pick():
    view = situation()
    points = view.embeddings.gather(np.arange(400))
    order = np.concatenate([np.arange(30), 30 + np.random.default_rng(2).permutation(370)])
    shuffled = view_of(points[order], head=view.head, labeled=view.labeled)
    assert order[picked(shuffled, 12).rows].tolist() == picked(view, 12).rows.tolist()


def test_a_large_pool_has_the_clusters_of_its_centroids(monkeypatch):
    points, numbers = clustered(900, 12, 6, spread=0.2)
    monkeypatch.setattr(module, "EXACT_ROWS", 500)
    monkeypatch.setattr(module, "CENTROIDS", 60)
    found = clusters_of(view_of(points), np.arange(900), Parameters(clusters=6))
    assert adjusted_rand_score(numbers, found) > 0.95


def test_the_default_is_a_cluster_for_ten_rows():
    found = clusters_of(situation(), np.arange(400), DEFAULTS)
    assert len(set(found.tolist())) == 40


def test_growing_pools_have_the_tree_of_all_their_rows(monkeypatch):
    monkeypatch.setattr(module, "EXACT_ROWS", 300)
    monkeypatch.setattr(module, "CENTROIDS", 40)
    points = clustered(400, 12, 6)[0]
    shelf = Shelf(1 << 30)
    for rows in (1, 2, 100, 300, 301, 400):
        grown = clusters_of(view_of(points[:rows], shelf=shelf), np.arange(rows), DEFAULTS)
        np.testing.assert_array_equal(grown, clusters_of(view_of(points[:rows]), np.arange(rows), DEFAULTS))


def test_the_tree_is_made_once(monkeypatch):
    shelf = Shelf(1 << 30)
    first = picked(situation(shelf=shelf), 12).rows
    monkeypatch.delattr(module, "tree")
    np.testing.assert_array_equal(picked(situation(shelf=shelf), 12).rows, first)


def test_equal_rows_are_one_cluster():
    numbers = clusters_of(view_of(np.full((30, 4), 0.5)), np.arange(30), Parameters(clusters=5))
    assert set(numbers.tolist()) == {0}
