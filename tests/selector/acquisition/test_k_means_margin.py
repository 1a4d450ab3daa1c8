"""KMEANS_MARGIN: k-means of the smallest margins."""

import numpy as np
import pytest

from services.selector.acquisition.k_means import k_means_picks
from services.selector.acquisition.k_means_margin import KMEANS_MARGIN
from services.selector.acquisition.margin import margin
from services.selector.acquisition.parameters import Parameters
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("KMEANS_MARGIN",)


def situation(rows=500, labeled=30, **given):
    points, numbers = clustered(rows, 12, 3)
    known = np.arange(labeled)
    head = fitted(points, known, numbers[known])
    return view_of(points, head=head, labeled=known, classes=numbers[known], **given)


def picked(view, k, seed=0, **changed):
    return KMEANS_MARGIN.pick(view, k, Parameters(**changed), np.random.default_rng(seed))


@pytest.mark.parametrize("candidates", [1, 3, 10])
def test_it_picks_among_the_smallest_margins_alone(candidates):
    view = situation()
    found = picked(view, 12, candidates=candidates).rows
    outputs = view.embeddings.gather(np.arange(30, 500)) @ view.head.projection.weights + view.head.projection.offsets
    margins = margin(view.head.probabilities(outputs))
    allowed = 30 + np.argsort(-margins, kind="stable")[: 12 * candidates]
    assert set(found.tolist()) <= set(allowed.tolist())
    assert len(set(found.tolist())) == 12


def test_they_are_the_representatives_of_the_clusters_of_these():
    view = situation()
    probs = view.probabilities().astype(np.float64)
    top = np.sort(probs, axis=1)
    lowest = [row for row in np.argsort(top[:, -1] - top[:, -2], kind="stable") if view.free[row]][:40]
    expected = k_means_picks(view.embeddings, np.sort(lowest), 8, np.random.default_rng(3))
    found = picked(view, 8, seed=3, candidates=5)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert found.scores.tolist() == sorted(found.scores, reverse=True)


def test_each_blob_that_the_head_doubts_gives_one():
    generator = np.random.default_rng(0)
    # Two sure blobs on either side, and four doubtful ones between them, apart from each other.
    centres = np.zeros((6, 6))
    centres[0, 0], centres[1, 0] = 8, -8
    centres[np.arange(2, 6), np.arange(2, 6)] = 8
    blobs = np.concatenate([np.arange(2).repeat(150), np.arange(2, 6).repeat(25)])
    points = (centres[blobs] + 0.3 * generator.standard_normal((400, 6))).astype(np.float16)
    known = np.array([0, 1, 2, 150, 151, 152])
    head = fitted(points, known, np.array([0, 0, 0, 1, 1, 1]))
    view = view_of(points, head=head, labeled=known)
    found = picked(view, 4, candidates=25).rows
    assert sorted(blobs[found].tolist()) == [2, 3, 4, 5]


def test_fewer_free_rows_than_candidates_are_all_candidates():
    free = np.zeros(500, np.bool_)
    free[40:60] = True
    assert sorted(picked(situation(free=free), 20).rows.tolist()) == list(range(40, 60))
    assert len(set(picked(situation(free=free), 15).rows.tolist())) == 15
