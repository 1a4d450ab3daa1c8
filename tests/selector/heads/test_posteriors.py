"""Samples of logistic heads: dropout of the inputs against masked embeddings, Laplace against the curvature."""

from __future__ import annotations

import numpy as np
import pytest

from services.selector.heads import (
    Curvature,
    Evidence,
    LogisticFitter,
    LogisticHead,
    LogisticSettings,
    Posterior,
    PosteriorKind,
    Sampling,
)
from services.selector.heads.seeding import dropout_masks, generator_of
from tests.selector.heads.examples import Matrix, mean_squared_norm, names, overlapping, with_ones

DIMENSION = 12


def fitted(classes: int, rows: int = 200) -> tuple[LogisticHead, Evidence]:
    embeddings, numbers = overlapping(rows, DIMENSION, classes)
    size = mean_squared_norm(embeddings)
    head = LogisticFitter(LogisticSettings()).fit(with_ones(embeddings), numbers, names(classes), size)
    return head, Evidence(embeddings=embeddings, classes=numbers, penalty=size / 10.0, balanced=False)


def never() -> Evidence:
    raise AssertionError("input dropout needs no evidence")


def sampling(samples: int = 7, kind: PosteriorKind = PosteriorKind.DROPOUT, dropout: float = 0.3) -> Sampling:
    return Sampling(samples=samples, kind=kind, dropout=dropout)


def outputs_of(posterior: Posterior, embeddings: Matrix) -> Matrix:
    """What the selector's products give: in column order."""
    projection = posterior.projection
    return np.asfortranarray((embeddings @ projection.weights + projection.offsets).astype(np.float32))


@pytest.mark.parametrize("classes", [2, 4, 150])
@pytest.mark.parametrize("samples", [1, 7])
def test_a_dropout_sample_is_the_head_on_masked_embeddings(classes: int, samples: int) -> None:
    head, _ = fitted(classes, rows=2 * classes + 50)
    others, _ = overlapping(160, DIMENSION, classes, seed=3)
    posterior = head.posterior(sampling(samples), never)
    found = posterior.probabilities(outputs_of(posterior, others))
    assert found.shape == (samples, 160, classes)
    assert found.dtype == np.float32
    facts = (head.kind, head.labels, "DROPOUT", samples, 0.3)
    masks = dropout_masks(samples, DIMENSION, 0.3, generator_of([head.weights, head.offsets], *facts))
    for mask, probs in zip(masks, found, strict=True):
        projection = head.projection
        expected = head.probabilities((others * mask) @ projection.weights + projection.offsets)
        # The rounding of a logit, float32, grows with the logit.
        np.testing.assert_allclose(probs, expected, atol=1e-6 * (20 + np.abs(projection.weights).sum(axis=0).max()))


def test_masks_keep_the_mean_and_drop_at_the_rate() -> None:
    masks = dropout_masks(200, 1_000, 0.3, np.random.default_rng(0))
    assert set(np.unique(masks).tolist()) == {0.0, float(np.float32(1) / np.float32(0.7))}
    # 200,000 draws: a standard error of 0.001.
    assert (masks == 0).mean() == pytest.approx(0.3, abs=0.005)
    assert masks.mean() == pytest.approx(1.0, abs=0.007)


@pytest.mark.parametrize("kind", list(PosteriorKind))
@pytest.mark.parametrize("classes", [2, 3])
def test_a_sample_is_one_head_for_the_whole_pool(kind: PosteriorKind, classes: int) -> None:
    head, evidence = fitted(classes)
    posterior = head.posterior(sampling(kind=kind), lambda: evidence)
    twice = np.concatenate([evidence.embeddings[:5], evidence.embeddings[:5]])
    probs = posterior.probabilities(outputs_of(posterior, twice))
    np.testing.assert_array_equal(probs[:, :5], probs[:, 5:])
    alone = posterior.probabilities(outputs_of(posterior, twice[:3]))
    np.testing.assert_allclose(alone, probs[:, :3], atol=1e-6)
    assert np.ptp(probs, axis=0).max() > 1e-3


@pytest.mark.parametrize("kind", list(PosteriorKind))
def test_the_same_head_gives_the_same_samples_and_another_one_others(kind: PosteriorKind) -> None:
    head, evidence = fitted(3)
    same = LogisticHead(head.labels, head.weights.copy(), head.offsets.copy())
    renamed = LogisticHead(("x", "y", "z"), head.weights, head.offsets)
    moved = LogisticHead(head.labels, head.weights, head.offsets + np.float32(1e-6))
    first = head.posterior(sampling(kind=kind), lambda: evidence).projection
    np.testing.assert_array_equal(
        same.posterior(sampling(kind=kind), lambda: evidence).projection.weights, first.weights
    )
    for other in (renamed, moved):
        found = other.posterior(sampling(kind=kind), lambda: evidence).projection
        assert not np.array_equal(found.weights, first.weights)


@pytest.mark.parametrize("classes", [2, 3])
def test_laplace_samples_are_the_gaussian_of_the_curvature_around_the_weights(classes: int) -> None:
    head, evidence = fitted(classes)
    samples = 4_000
    projection = head.posterior(sampling(samples, PosteriorKind.LAPLACE), lambda: evidence).projection
    outputs = len(head.offsets)
    weights = projection.weights.T.reshape(samples, outputs, DIMENSION).transpose(0, 2, 1)
    offsets = projection.offsets.reshape(samples, 1, outputs)
    draws = np.concatenate([weights, offsets], axis=1).reshape(samples, -1).astype(np.float64)
    centre = np.concatenate([head.weights, head.offsets[:, None]], axis=1).T.reshape(-1)
    size = (DIMENSION + 1) * outputs
    identity = np.eye(size).reshape(size, DIMENSION + 1, outputs)
    expected = Curvature.of(head, evidence).solve(identity).reshape(size, size)
    scale = np.sqrt(np.diag(expected))
    # The standard error of an entry of a covariance is at most √(2 / S) of the variances' size, 2.3 %: four of them.
    np.testing.assert_allclose(np.cov(draws.T) / np.outer(scale, scale), expected / np.outer(scale, scale), atol=0.09)
    np.testing.assert_allclose((draws.mean(axis=0) - centre) / scale, 0, atol=4 / np.sqrt(samples) + 1e-3)


@pytest.mark.parametrize("classes", [2, 5])
def test_extreme_outputs_give_probabilities_of_exactly_0_and_1(classes: int) -> None:
    outputs = 1 if classes == 2 else classes
    head = LogisticHead(
        names(classes),
        np.full((outputs, DIMENSION), 1e4, np.float32),
        np.linspace(-1e4, 1e4, outputs, dtype=np.float32),
    )
    posterior = head.posterior(sampling(), never)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        probs = posterior.probabilities(outputs_of(posterior, np.ones((3, DIMENSION), np.float32)))
    np.testing.assert_array_equal(probs.sum(axis=2), 1)
    assert set(np.unique(probs).tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("classes", [2, 5])
def test_outputs_of_any_memory_layout_give_the_same(classes: int) -> None:
    head, _ = fitted(classes)
    posterior = head.posterior(sampling(), never)
    outputs = outputs_of(posterior, overlapping(700, DIMENSION, classes, seed=4)[0])
    np.testing.assert_array_equal(
        posterior.probabilities(outputs), posterior.probabilities(np.ascontiguousarray(outputs))
    )
