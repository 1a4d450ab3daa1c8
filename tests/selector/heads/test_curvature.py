"""The curvature of a logistic head's loss against automatic differentiation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.selector.heads import Curvature, Evidence, LogisticHead
from services.selector.heads import curvature as curvature_module
from tests.selector.heads.examples import overlapping

PENALTY = 0.3
SAMPLES = 4_000


def problem(
    classes: int, balanced: bool, rows: int = 60, dimension: int = 6, size: float = 0.3
) -> tuple[LogisticHead, Evidence]:
    """Any weights will do: the curvature is that of the loss where the head is."""
    embeddings, numbers = overlapping(rows, dimension, classes, seed=classes)
    numbers[numbers == 1] *= np.random.default_rng(5).integers(0, 2, int((numbers == 1).sum()))
    numbers[:classes] = np.arange(classes)
    generator = np.random.default_rng(1)
    outputs = 1 if classes == 2 else classes
    weights = (size * generator.standard_normal((outputs, dimension))).astype(np.float32)
    offsets = generator.standard_normal(outputs).astype(np.float32)
    head = LogisticHead(tuple(f"class {number}" for number in range(classes)), weights, offsets)
    return head, Evidence(embeddings=embeddings, classes=numbers, penalty=PENALTY, balanced=balanced)


def dense(head: LogisticHead, evidence: Evidence) -> torch.Tensor:
    """The Hessian of scikit-learn's penalized loss by the weights (D + 1, J) in one vector, by torch."""
    counts = np.bincount(evidence.classes)
    share = len(evidence.classes) / (len(counts) * counts[evidence.classes]) if evidence.balanced else 1.0
    weights = torch.as_tensor(share * np.ones(len(evidence.classes)))
    features = torch.as_tensor(np.concatenate([evidence.embeddings, np.ones((len(weights), 1))], axis=1))
    targets = torch.as_tensor(evidence.classes)
    at = torch.as_tensor(np.concatenate([head.weights, head.offsets[:, None]], axis=1).T.astype(np.float64))

    def loss(flat: torch.Tensor) -> torch.Tensor:
        both = flat.reshape(at.shape)
        logits = features @ both
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        return (weights * losses).sum() + PENALTY / 2 * (both[:-1] ** 2).sum()

    return torch.autograd.functional.hessian(loss, at.reshape(-1).clone())


def without_null(vectors: np.ndarray) -> np.ndarray:
    found = vectors.copy()
    if found.shape[-1] > 1:
        found[..., -1, :] -= found[..., -1, :].mean(axis=-1, keepdims=True)
    return found


@pytest.fixture(params=["factored", "iterated", "iterated without a preconditioner"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "factored":
        monkeypatch.setattr(curvature_module, "_MAX_DENSE", 0)
    if request.param.endswith("preconditioner"):
        monkeypatch.setattr(curvature_module, "MAX_FEATURES", 0)
    return request.param


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("classes", [2, 5])
def test_solve_is_the_inverse_of_the_hessian(way: str, classes: int, balanced: bool) -> None:
    head, evidence = problem(classes, balanced)
    hessian = dense(head, evidence).numpy()
    curvature = Curvature.of(head, evidence)
    shape = (evidence.embeddings.shape[1] + 1, len(head.offsets))
    right = np.random.default_rng(2).standard_normal((3, *shape))
    found = curvature.solve(right)
    expected = (np.linalg.pinv(hessian, rcond=1e-12) @ right.reshape(3, -1).T).T.reshape(3, *shape)
    # The head's own numbers are float32.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_allclose(curvature.solve(right[1]), found[1], rtol=1e-4, atol=1e-5)
    product = (hessian @ found.reshape(3, -1).T).T.reshape(3, *shape)
    np.testing.assert_allclose(product, without_null(right), atol=2e-4)
    np.testing.assert_allclose(found, without_null(found), atol=1e-12)


@pytest.mark.parametrize(("classes", "balanced"), [(2, False), (2, True), (3, False), (5, True)])
def test_samples_have_the_inverse_of_the_hessian_as_covariance(way: str, classes: int, balanced: bool) -> None:
    head, evidence = problem(classes, balanced, dimension=3)
    expected = np.linalg.pinv(dense(head, evidence).numpy(), rcond=1e-12)
    draws = Curvature.of(head, evidence).sample(SAMPLES, np.random.default_rng(0)).reshape(SAMPLES, -1)
    # The standard error of an entry of a covariance is at most √(2 / S) of the variances' size, 2.3 %: four of them.
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(draws.T @ draws / len(draws) / scale, expected / scale, atol=0.09)
    np.testing.assert_allclose(draws.mean(axis=0) / np.sqrt(np.diag(expected)), 0, atol=0.064)


def test_many_classes_are_solved_without_the_matrix() -> None:
    head, evidence = problem(150, True, rows=400, dimension=40, size=0.05)
    curvature = Curvature.of(head, evidence)
    assert curvature._factor is None
    right = np.random.default_rng(0).standard_normal((41, 150))
    found = curvature.solve(right)
    features = np.concatenate([evidence.embeddings, np.ones((400, 1))], axis=1).astype(np.float64)
    logits = features @ np.concatenate([head.weights, head.offsets[:, None]], axis=1).T
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    counts = np.bincount(evidence.classes, minlength=150)
    weights = 400 / ((counts > 0).sum() * counts[evidence.classes])
    moved = features @ found
    product = features.T @ (weights[:, None] * probs * (moved - (probs * moved).sum(axis=1, keepdims=True)))
    product[:-1] += PENALTY * found[:-1]
    np.testing.assert_allclose(product, without_null(right), atol=2e-3)
    assert curvature.sample(2, np.random.default_rng(0)).shape == (2, 41, 150)


@pytest.mark.parametrize("classes", [2, 4])
def test_labels_that_say_nothing_of_an_intercept_leave_it_finite(way: str, classes: int) -> None:
    head, evidence = problem(classes, False)
    nothing = Evidence(embeddings=evidence.embeddings[:0], classes=evidence.classes[:0], penalty=PENALTY, balanced=True)
    sure = LogisticHead(head.labels, head.weights * 1e4, head.offsets)
    for curvature in (Curvature.of(head, nothing), Curvature.of(sure, evidence)):
        assert np.isfinite(curvature.sample(3, np.random.default_rng(0))).all()


def test_evidence_of_another_kind_is_refused() -> None:
    head, evidence = problem(3, False)
    without = Evidence(embeddings=evidence.embeddings, classes=evidence.classes, penalty=0.0, balanced=False)
    with pytest.raises(ValueError, match="penalty must be more than 0, got 0"):
        Curvature.of(head, without)
    narrow = Evidence(embeddings=evidence.embeddings[:, :4], classes=evidence.classes, penalty=1.0, balanced=False)
    with pytest.raises(ValueError, match="6 dimensions, got 4"):
        Curvature.of(head, narrow)
