"""CONTRASTIVE against brute force."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import entropy

from services.selector.acquisition import DEFAULTS
from services.selector.acquisition.contrastive import CONTRASTIVE, contrastive
from services.selector.errors import NotFinite
from services.selector.heads import LogisticHead
from services.selector.scoring import Shelf
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("CONTRASTIVE",)


def by_brute_force(embeddings: Any, head: LogisticHead, labeled: Any, neighbours: int) -> npt.NDArray[np.float64]:
    """Returns the mean KL(p_neighbour ‖ p) of each row, from all distances."""
    points = embeddings.astype(np.float64)
    probs = head.probabilities((points @ head.weights.T + head.offsets).astype(np.float32))
    scores = []
    for point, p in zip(points, probs, strict=True):
        distances = np.linalg.norm(points[labeled] - point, axis=1)
        beside = labeled[np.argsort(distances, kind="stable")[:neighbours]]
        scores.append(np.mean([entropy(probs[row], p) for row in beside]))
    return np.array(scores)


@pytest.mark.parametrize(("classes", "labels", "neighbours"), [(2, 30, None), (5, 40, 3), (150, 300, None), (3, 6, 10)])
def test_is_the_mean_divergence_from_the_nearest_labeled_rows(
    classes: int, labels: int, neighbours: int | None
) -> None:
    embeddings, numbers = clustered(400, 12, classes)
    labeled = np.sort(np.random.default_rng(0).permutation(400)[:labels])
    head = fitted(embeddings, labeled, numbers[labeled])
    view = view_of(embeddings, head=head, labeled=labeled, classes=numbers[labeled])
    scores = view.scores(CONTRASTIVE, replace(DEFAULTS, neighbours=neighbours))
    expected = by_brute_force(embeddings, head, labeled, neighbours or 10)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-6)


def test_the_divergence_is_from_the_neighbour_to_the_row() -> None:
    p, q = np.array([[0.9, 0.1]]), np.array([[0.5, 0.5], [0.2, 0.8]])
    np.testing.assert_allclose(contrastive(p, q, np.array([[0]])), entropy(q[0], p[0]))
    np.testing.assert_allclose(contrastive(p, q, np.array([[0, 1]])), (entropy(q[0], p[0]) + entropy(q[1], p[0])) / 2)


def test_a_class_ruled_out_ranks_first_and_stays_finite() -> None:
    probs = np.array([[0.0, 1.0], [1e-30, 1.0], [0.5, 0.5], [1.0, 0.0]])
    scores = contrastive(probs, np.array([[1.0, 0.0]]), np.zeros((4, 1), np.int64))
    assert np.isfinite(scores).all()
    assert scores[0] > scores[1] > scores[2] > scores[3] == 0.0


def test_agreement_scores_zero_and_never_less() -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(7), 500)
    scores = contrastive(probs, probs, np.arange(500)[:, None].repeat(3, axis=1))
    assert (scores >= 0).all()
    np.testing.assert_allclose(scores, 0.0, atol=1e-12)


def test_rows_that_came_later_leave_the_others_scores() -> None:
    embeddings, numbers = clustered(3_000, 8, 3)
    labeled, shelf = np.arange(40), Shelf(1 << 30)
    head = fitted(embeddings, labeled, numbers[labeled])
    before = view_of(embeddings[:2_000], head=head, labeled=labeled, shelf=shelf).scores(CONTRASTIVE, DEFAULTS)
    grown = view_of(embeddings, head=head, labeled=labeled, shelf=shelf).scores(CONTRASTIVE, DEFAULTS)
    np.testing.assert_allclose(grown[:2_000], before, rtol=1e-6)
    anew = view_of(embeddings, head=head, labeled=labeled).scores(CONTRASTIVE, DEFAULTS)
    np.testing.assert_allclose(grown, anew, rtol=1e-6)


def test_another_number_of_neighbours_is_another_score() -> None:
    embeddings, numbers = clustered(200, 8, 3)
    labeled = np.arange(40)
    view = view_of(embeddings, head=fitted(embeddings, labeled, numbers[labeled]), labeled=labeled)
    one = view.scores(CONTRASTIVE, replace(DEFAULTS, neighbours=1))
    assert not np.allclose(one, view.scores(CONTRASTIVE, DEFAULTS))


def test_constant_embeddings_and_duplicates_of_labeled_rows_score_zero() -> None:
    embeddings = np.full((30, 4), 0.5, np.float16)
    head = LogisticHead(("a", "b"), np.full((1, 4), 2, np.float32), np.ones(1, np.float32))
    scores = view_of(embeddings, head=head, labeled=np.arange(3)).scores(CONTRASTIVE, DEFAULTS)
    np.testing.assert_allclose(scores, 0.0, atol=1e-9)


def test_without_a_label_left_there_is_nothing_to_contrast_with() -> None:
    embeddings, numbers = clustered(50, 4, 2)
    head = fitted(embeddings, np.arange(20), numbers[:20])
    np.testing.assert_array_equal(view_of(embeddings, head=head).scores(CONTRASTIVE, DEFAULTS), np.zeros(50))


def test_names_the_row_that_is_not_finite() -> None:
    with pytest.raises(NotFinite, match="row 1"):
        contrastive(np.array([[0.5, 0.5], [np.nan, 0.5]]), np.full((1, 2), 0.5), np.zeros((2, 1), np.int64))
