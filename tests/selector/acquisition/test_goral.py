"""GORAL against heads that were really refit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from services.selector.acquisition import DEFAULTS
from services.selector.acquisition.goral import GOAL_ROWS, GORAL, entropy_gradient, goal_rows, goral
from services.selector.errors import NotFinite
from services.selector.heads import LogisticHead
from services.selector.scoring import Shelf
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("GORAL",)

LABELED = np.arange(40)
# What `fitted` fits with, and `view_of` says.
PENALTY = 0.1


def mean_entropy(probs: Any) -> float:
    """Returns the mean of H(p), p without zeros."""
    return float(-(probs * np.log(probs)).sum(axis=1).mean())


def probabilities(head: LogisticHead, embeddings: Any) -> npt.NDArray[np.float64]:
    return head.probabilities((embeddings @ head.weights.T + head.offsets).astype(np.float32))


def precisely_fitted(features: Any, classes: Any, weights: Any) -> LogisticRegression:
    """Returns scikit-learn's optimum in float64, of the same loss."""
    model = LogisticRegression(C=1 / PENALTY, solver="newton-cholesky", tol=1e-12, max_iter=200)
    return model.fit(features, classes, sample_weight=weights)


@pytest.mark.parametrize("classes", [2, 3])
def test_is_the_expected_change_of_the_pools_entropy_that_refitting_finds(classes: int) -> None:
    embeddings, numbers = clustered(60, 4, classes)
    head = fitted(embeddings, LABELED, numbers[LABELED])
    pool = embeddings.astype(np.float64)
    base = precisely_fitted(pool[LABELED], numbers[LABELED], np.ones(len(LABELED)))
    probs, before = base.predict_proba(pool), mean_entropy(base.predict_proba(pool))
    weight = 1e-3
    expected = np.zeros(len(pool))
    for row, label in np.ndindex(len(pool), classes):
        model = precisely_fitted(
            np.concatenate([pool[LABELED], pool[[row]]]),
            np.append(numbers[LABELED], label),
            np.append(np.ones(len(LABELED)), weight),
        )
        change = (mean_entropy(model.predict_proba(pool)) - before) / weight
        expected[row] += probs[row, label] * abs(change)
    scores = view_of(embeddings, head=head, labeled=LABELED, classes=numbers[LABELED]).scores(GORAL, DEFAULTS)
    np.testing.assert_allclose(scores, expected, rtol=0.02, atol=0.01 * expected.max())


@pytest.mark.parametrize("classes", [2, 3])
def test_each_label_moves_the_goal_as_a_whole_item_does(classes: int) -> None:
    """Not only to first order: a rank correlation of at least 0.95 over all items and labels."""
    embeddings, numbers = clustered(60, 4, classes, seed=3)
    head = fitted(embeddings, LABELED, numbers[LABELED])
    before = probabilities(head, embeddings)
    view = view_of(embeddings, head=head, labeled=LABELED, classes=numbers[LABELED])
    projection = GORAL.prepare(view, DEFAULTS).projection
    outputs = len(head.weights)
    responses = embeddings.astype(np.float64) @ projection.weights[:, outputs:] + projection.offsets[outputs:]
    if classes == 2:
        responses = np.concatenate([0 * responses, responses], axis=1)
    influences = responses - (before * responses).sum(axis=1, keepdims=True)
    changes = np.empty_like(influences)
    for row, label in np.ndindex(*changes.shape):
        added = fitted(
            np.concatenate([embeddings[LABELED], embeddings[[row]]]),
            np.arange(len(LABELED) + 1),
            np.append(numbers[LABELED], label),
        )
        changes[row, label] = mean_entropy(probabilities(added, embeddings)) - mean_entropy(before)
    assert spearmanr(influences.ravel(), changes.ravel()).statistic >= 0.95


@pytest.mark.parametrize("classes", [2, 5, 150])
def test_the_goals_gradient_is_that_of_autograd(classes: int) -> None:
    generator = np.random.default_rng(classes)
    points = torch.as_tensor(generator.standard_normal((30, 6)))
    weights = torch.as_tensor(generator.standard_normal((7, classes))).requires_grad_()
    logits = points @ weights[:-1] + weights[-1]
    torch.distributions.Categorical(logits=logits).entropy().sum().backward()
    found = entropy_gradient(points.numpy().astype(np.float32), logits.detach().softmax(1).numpy())
    assert weights.grad is not None
    np.testing.assert_allclose(found, weights.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_score_is_the_mean_deviation_of_the_responses() -> None:
    generator = np.random.default_rng(0)
    probs, responses = generator.dirichlet(np.ones(4), 20), generator.standard_normal((20, 4))
    expected = [sum(p[y] * abs(u[y] - p @ u) for y in range(4)) for p, u in zip(probs, responses, strict=True)]
    np.testing.assert_allclose(goral(probs, responses), expected)


def test_two_classes_score_alike_whether_they_have_one_response_or_two() -> None:
    generator = np.random.default_rng(0)
    probs, responses = generator.dirichlet(np.ones(2), 20), generator.standard_normal((20, 2))
    np.testing.assert_allclose(goral(probs, responses), goral(probs, responses[:, [1]] - responses[:, [0]]))


def test_a_certain_row_moves_nothing() -> None:
    certain = np.array([[1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(goral(certain, np.array([[3.0, 1.0, 2.0]])), [0.0])
    gradient = entropy_gradient(np.ones((1, 2), np.float32), certain)
    np.testing.assert_array_equal(np.abs(gradient), np.zeros((3, 3)))


def test_an_extended_pool_is_another_goal() -> None:
    embeddings, numbers = clustered(3_000, 8, 3)
    head, shelf = fitted(embeddings, LABELED, numbers[LABELED]), Shelf(1 << 30)
    labels = {"head": head, "labeled": LABELED, "classes": numbers[LABELED]}
    view_of(embeddings[:2_000], shelf=shelf, **labels).scores(GORAL, DEFAULTS)
    grown = view_of(embeddings, shelf=shelf, **labels).scores(GORAL, DEFAULTS)
    np.testing.assert_array_equal(grown, view_of(embeddings, **labels).scores(GORAL, DEFAULTS))


def test_the_goal_is_the_whole_pool_until_that_is_large_and_then_one_row_of_each_stretch() -> None:
    np.testing.assert_array_equal(goal_rows(GOAL_ROWS), np.arange(GOAL_ROWS))
    rows = goal_rows(1_000, most=300)
    np.testing.assert_array_equal(np.floor((rows + 1) * 300 / 1_000 - 1e-9).astype(int), np.arange(300))
    np.testing.assert_array_equal(rows, goal_rows(1_000, most=300))
    assert len(set(np.diff(rows))) > 3


def test_a_sample_of_a_large_pool_ranks_as_all_of_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, numbers = clustered(60_000, 8, 3)
    head = fitted(embeddings, LABELED, numbers[LABELED])
    labels = {"head": head, "labeled": LABELED, "classes": numbers[LABELED]}
    sampled = view_of(embeddings, **labels).scores(GORAL, DEFAULTS)
    monkeypatch.setattr("services.selector.acquisition.goral.goal_rows", np.arange)
    whole = view_of(embeddings, **labels).scores(GORAL, DEFAULTS)
    assert spearmanr(sampled, whole).statistic >= 0.99


def test_constant_embeddings_score_alike_and_finite() -> None:
    embeddings = np.full((50, 4), 0.5, np.float16)
    classes = np.arange(40) % 3
    head = fitted(embeddings, LABELED, classes)
    scores = view_of(embeddings, head=head, labeled=LABELED, classes=classes).scores(GORAL, DEFAULTS)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, scores[0], rtol=1e-5)


def test_names_the_row_that_is_not_finite() -> None:
    with pytest.raises(NotFinite, match="row 1"):
        goral(np.array([[0.5, 0.5], [np.nan, 0.5]]), np.ones((2, 1)))
