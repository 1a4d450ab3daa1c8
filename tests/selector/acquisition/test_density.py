"""DENSITY against its formula, written out with scipy."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import entropy

from services.selector.acquisition import density as module
from services.selector.acquisition.clusters import pool_clusters
from services.selector.acquisition.density import DENSITY, clusters_of, density
from services.selector.acquisition.parameters import DEFAULTS, Parameters
from services.selector.scoring import Shelf
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("DENSITY",)


def situation(points, numbers, classes=3, **given):
    known = np.arange(30)
    head = fitted(points, known, numbers[known] % classes)
    return view_of(points, head=head, labeled=known, classes=numbers[known] % classes, **given)


def by_definition(view, clusters):
    """H(p) Σ_c (n_c / N) exp(-‖x - m_c‖² / 2σ²), given the centres."""
    points = view.embeddings.gather(np.arange(len(view.free))).astype(np.float64)
    centres = pool_clusters(view, clusters).centroids.astype(np.float64)
    squared = cdist(points, centres, "sqeuclidean")
    own = squared.argmin(axis=1)
    variance = squared[np.arange(len(points)), own].mean()
    densities = np.exp(-squared / (2 * variance)) @ (np.bincount(own, minlength=len(centres)) / len(points))
    outputs = points @ view.head.projection.weights.astype(np.float64) + view.head.projection.offsets
    return entropy(view.head.probabilities(outputs), axis=1) * densities


@pytest.mark.parametrize("clusters", [1, 4, 30])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_the_entropy_times_the_density_around_the_kept_centres(clusters, classes):
    view = situation(*clustered(900, 12, 5), classes=classes)
    scores = view.scores(DENSITY, Parameters(clusters=clusters))
    np.testing.assert_allclose(scores, by_definition(view, clusters), rtol=1e-4, atol=1e-9)


def test_there_are_as_many_clusters_as_the_root_of_the_rows_and_at_most_a_hundred():
    view = situation(*clustered(900, 12, 5))
    np.testing.assert_allclose(view.scores(DENSITY, DEFAULTS), by_definition(view, 30), rtol=1e-4, atol=1e-9)
    assert clusters_of(1, DEFAULTS) == 1
    assert clusters_of(10**6, DEFAULTS) == 100
    # As long as clusters are kept there are as many of them.
    assert clusters_of(4_870, DEFAULTS) == clusters_of(5_700, DEFAULTS) == 69


def test_of_equally_doubtful_rows_the_one_with_company_scores_more():
    points = np.zeros((101, 4), np.float16)
    points[:, 0] = 1
    points[100] = [0, 0, 0, 3]
    head = fitted(np.eye(4, dtype=np.float16)[1:3], np.arange(2), np.arange(2))
    scores = view_of(points, head=head).scores(DENSITY, Parameters(clusters=2))
    assert scores[:100].min() > 5 * scores[100] > 0


@pytest.mark.parametrize("filled", [0, 0.3])
def test_equal_rows_score_the_same(filled):
    points = np.full((50, 4), filled, np.float16)
    head = fitted(np.eye(4, dtype=np.float16)[:2], np.arange(2), np.arange(2))
    scores = view_of(points, head=head).scores(DENSITY, DEFAULTS)
    assert 0 < scores[0] < 0.7
    np.testing.assert_allclose(scores, scores[0], rtol=1e-3)


def test_the_mixture_is_that_of_its_formula():
    generator = np.random.default_rng(0)
    squared, weights = generator.random((5, 40)).astype(np.float32) * 9, generator.dirichlet(np.ones(5))
    expected = (weights[:, None] * np.exp(-squared.astype(np.float64) / 3)).sum(axis=0)
    np.testing.assert_allclose(density(squared, weights, 1.5), expected, rtol=1e-5)


def test_a_grown_pool_scores_all_its_rows_anew():
    points, numbers = clustered(900, 12, 5)
    shelf = Shelf(1 << 30)
    small = situation(points[:500], numbers, shelf=shelf).scores(DENSITY, DEFAULTS)
    large = situation(points, numbers, shelf=shelf).scores(DENSITY, DEFAULTS)
    np.testing.assert_array_equal(large, situation(points, numbers).scores(DENSITY, DEFAULTS))
    assert not np.array_equal(large[:500], small)


def test_the_order_of_rows_changes_no_score():
    view = situation(*clustered(300, 12, 5))
    points = view.embeddings.gather(np.arange(300))
    order = np.random.default_rng(2).permutation(300)
    shuffled = view_of(points[order], head=view.head)
    np.testing.assert_allclose(
        shuffled.scores(DENSITY, DEFAULTS), view.scores(DENSITY, DEFAULTS)[order], rtol=1e-5, atol=1e-9
    )


def test_a_new_head_finds_the_densities_kept(monkeypatch):
    points, numbers = clustered(400, 12, 5)
    shelf = Shelf(1 << 30)
    situation(points, numbers, shelf=shelf).scores(DENSITY, DEFAULTS)
    monkeypatch.delattr(module, "density")
    again = situation(points, numbers, classes=2, shelf=shelf, head_version=2).scores(DENSITY, DEFAULTS)
    monkeypatch.undo()
    np.testing.assert_array_equal(again, situation(points, numbers, classes=2).scores(DENSITY, DEFAULTS))
