"""Networks with dropout against torch's own modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from services.selector.heads import (
    Evidence,
    LogisticFitter,
    LogisticSettings,
    McDropoutFitter,
    McDropoutHead,
    McDropoutSettings,
    PosteriorKind,
    Sampling,
)
from services.selector.heads import mc_dropout_fitter as fitter_module
from services.selector.heads.seeding import dropout_masks, generator_of
from tests.selector.heads.examples import Matrix, mean_squared_norm, names, overlapping, with_ones

DIMENSION = 16

# As the selector has it: its threads are its own, and torch's would wait for one another.
torch.set_num_threads(1)


def fit(classes: int, rows: int = 120, scale: float = 1.0, **fields: Any) -> tuple[McDropoutHead, Matrix, Matrix]:
    embeddings, numbers = overlapping(rows, DIMENSION, classes, scale=scale)
    size = mean_squared_norm(embeddings)
    settings = McDropoutSettings(**{"max_epochs": 30, **fields})
    head = McDropoutFitter(settings).fit(with_ones(embeddings), numbers, names(classes), size)
    return head, embeddings, numbers


def never() -> Evidence:
    raise AssertionError("dropout needs no evidence")


def sampling(samples: int) -> Sampling:
    return Sampling(samples=samples, kind=PosteriorKind.LAPLACE, dropout=0.9)


def projected(projection: Any, embeddings: Matrix) -> Matrix:
    """In column order, as the selector's products give it."""
    return np.asfortranarray((embeddings @ projection.weights + projection.offsets).astype(np.float32))


def module_of(head: McDropoutHead, last_dropout: nn.Module) -> nn.Sequential:
    """The same network in torch, dropout before the last layer alone."""
    parts: list[nn.Module] = []
    for number, layer in enumerate(head.layers):
        linear = nn.Linear(layer.weights.shape[1], len(layer.weights))
        linear.weight.data, linear.bias.data = torch.tensor(layer.weights), torch.tensor(layer.offsets)
        parts += [last_dropout, linear] if number == len(head.layers) - 1 else [linear, nn.ReLU()]
    return nn.Sequential(*parts)


class GivenMask(nn.Module):
    """Dropout whose mask is given; like torch's it does nothing in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = torch.ones(1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * self.mask if self.training else inputs


def probabilities(logits: torch.Tensor) -> Matrix:
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return torch.softmax(logits, dim=1).detach().numpy()


@pytest.mark.parametrize("hidden", [(), (9,), (11, 5), (8, 7, 6)])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("samples", [1, 6])
def test_samples_are_passes_of_the_network_with_its_last_dropout_on(
    hidden: tuple[int, ...], classes: int, samples: int
) -> None:
    head, _, _ = fit(classes, hidden=hidden, dropout=0.25)
    others, _ = overlapping(50, DIMENSION, classes, seed=2)
    posterior = head.posterior(sampling(samples), never)
    found = posterior.probabilities(projected(posterior.projection, others))
    assert found.shape == (samples, 50, classes)
    assert posterior.samples == samples
    arrays = [head.centre, *(array for layer in head.layers for array in (layer.weights, layer.offsets))]
    generator = generator_of(arrays, "MC_DROPOUT", head.labels, 0.25, samples)
    masks = dropout_masks(samples, hidden[-1] if hidden else DIMENSION, 0.25, generator)
    dropout = GivenMask()
    module = module_of(head, dropout).train()
    for mask, probs in zip(masks, found, strict=True):
        dropout.mask = torch.tensor(mask)
        np.testing.assert_allclose(probs, probabilities(module(torch.tensor(others - head.centre))), atol=2e-5)
    if samples > 1:
        assert np.ptp(found, axis=0).max() > 1e-3


@pytest.mark.parametrize("hidden", [(), (9,), (11, 5)])
@pytest.mark.parametrize("classes", [2, 4])
def test_a_head_is_the_network_without_dropout(hidden: tuple[int, ...], classes: int) -> None:
    head, embeddings, _ = fit(classes, hidden=hidden)
    outputs = projected(head.projection, embeddings)
    module = module_of(head, GivenMask()).eval()
    logits = module(torch.tensor(embeddings - head.centre))
    expected = probabilities(logits)
    np.testing.assert_allclose(head.probabilities(outputs), expected, atol=1e-5)
    decisions = head.decisions(outputs)
    np.testing.assert_allclose(np.exp(decisions) / np.exp(decisions).sum(axis=1, keepdims=True), expected, atol=1e-5)
    seen = head.penultimate(outputs)
    if hidden:
        assert seen is not None
        expected_seen = module[: 2 * len(hidden)](torch.tensor(embeddings - head.centre)).detach().numpy()
        np.testing.assert_allclose(seen, expected_seen, atol=1e-4)
        assert (seen >= 0).all()
        assert seen.shape == (len(embeddings), hidden[-1])
    else:
        assert seen is None


@pytest.mark.parametrize("hidden", [(), (9,)])
def test_a_mask_is_shared_by_the_whole_pool(hidden: tuple[int, ...]) -> None:
    head, embeddings, _ = fit(3, hidden=hidden)
    posterior = head.posterior(sampling(5), never)
    twice = np.concatenate([embeddings[:6], embeddings[:6]])
    probs = posterior.probabilities(projected(posterior.projection, twice))
    np.testing.assert_array_equal(probs[:, :6], probs[:, 6:])


@pytest.mark.parametrize("hidden", [(), (9,)])
def test_a_fit_and_its_samples_are_the_same_again_whatever_else_draws(hidden: tuple[int, ...]) -> None:
    first, _, _ = fit(3, hidden=hidden)
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    again, embeddings, _ = fit(3, hidden=hidden)
    assert torch.equal(torch.random.get_rng_state(), state)
    for one, other in zip(first.layers, again.layers, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
        np.testing.assert_array_equal(one.offsets, other.offsets)
    posteriors = [head.posterior(sampling(4), never) for head in (first, again)]
    found = [one.probabilities(projected(one.projection, embeddings)) for one in posteriors]
    np.testing.assert_array_equal(found[0], found[1])


def test_without_hidden_layers_it_is_nearly_logistic_regression() -> None:
    head, embeddings, numbers = fit(3, rows=400, dropout=0.01, max_epochs=400)
    size = mean_squared_norm(embeddings)
    logistic = LogisticFitter(LogisticSettings()).fit(with_ones(embeddings), numbers, names(3), size)
    found = head.probabilities(projected(head.projection, embeddings))
    expected = logistic.probabilities(projected(logistic.projection, embeddings))
    # Adam stops near the optimum, not at it.
    assert np.abs(found - expected).mean() < 0.05
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.95


@pytest.mark.parametrize("hidden", [(), (32,)])
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_length_of_embeddings_does_not_matter(hidden: tuple[int, ...], scale: float) -> None:
    head, embeddings, numbers = fit(4, rows=300, scale=scale, hidden=hidden, max_epochs=100)
    outputs = projected(head.projection, embeddings)
    assert (head.probabilities(outputs).argmax(axis=1) == numbers).mean() > 0.7


@pytest.mark.parametrize("classes", [2, 150])
def test_classes_it_has_not_seen_are_not_its_own(classes: int) -> None:
    embeddings, numbers = overlapping(3 * classes + 20, DIMENSION, classes)
    fitter = McDropoutFitter(McDropoutSettings(hidden=(12,), max_epochs=3))
    head = fitter.fit(with_ones(embeddings), 2 * numbers, names(2 * classes), mean_squared_norm(embeddings))
    assert head.labels == names(2 * classes)[::2]
    probs = head.probabilities(projected(head.projection, embeddings))
    assert probs.shape == (len(embeddings), classes)
    np.testing.assert_allclose(probs.sum(axis=1), 1)


def test_balanced_labels_give_a_rare_class_its_due() -> None:
    embeddings, numbers = overlapping(400, DIMENSION, 2, seed=1)
    kept = (numbers == 0) | (np.arange(400) % 12 == 0)
    size = mean_squared_norm(embeddings)
    shares = []
    for balanced in (False, True):
        settings = McDropoutSettings(balanced=balanced, inverse_regularization=0.1)
        head = McDropoutFitter(settings).fit(with_ones(embeddings[kept]), numbers[kept], names(2), size)
        shares.append(head.probabilities(projected(head.projection, embeddings))[:, 1].mean())
    assert shares[0] < 0.35
    assert 0.4 < shares[1] < 0.6


def test_a_fit_stops_when_the_loss_falls_no_more_and_at_the_latest_when_told() -> None:
    epochs = []
    permuted = torch.randperm

    def counted(*arguments: Any, **named: Any) -> torch.Tensor:
        epochs[-1] += 1
        return permuted(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitter_module.torch, "randperm", counted)
        for most in (3, 10_000):
            epochs.append(0)
            fit(2, max_epochs=most)
    assert epochs[0] == 3
    assert 10 < epochs[1] < 300


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        McDropoutFitter(McDropoutSettings()).fit(np.ones((3, 5), np.float32), np.zeros(3, np.int64), names(2), 1.0)


@pytest.mark.parametrize("embeddings", [np.ones((6, 8)), np.zeros((6, 8))])
def test_items_of_one_place_with_different_labels_are_undecided(embeddings: Matrix) -> None:
    fitter = McDropoutFitter(McDropoutSettings(hidden=(4,)))
    head = fitter.fit(with_ones(embeddings), np.array([0, 1, 0, 1, 0, 1]), names(2), 1.0)
    np.testing.assert_allclose(
        head.probabilities(projected(head.projection, embeddings.astype(np.float32))), 0.5, atol=0.1
    )
