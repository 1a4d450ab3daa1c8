"""EGL against autograd."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from services.selector.acquisition import DEFAULTS
from services.selector.acquisition.egl import EGL, egl
from services.selector.errors import NotFinite
from services.selector.heads import LogisticHead
from services.selector.heads.mc_dropout import Layer, McDropoutHead
from services.selector.scoring import Shelf
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("EGL",)


def by_autograd(seen: Any, weights: Any, offsets: Any) -> npt.NDArray[np.float64]:
    """Returns E_{y~p} ‖∂ℓ(x, y) / ∂(W, b)‖² of each row: one backward pass a row and class.

    Args:
        seen: what the last layer sees, (N, H).
        weights: of the last layer, (C, H).
        offsets: of the last layer, (C,).
    """
    layer = torch.nn.Linear(*weights.shape[::-1]).double()
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weights))
        layer.bias.copy_(torch.as_tensor(offsets))
    expected = []
    for row in torch.as_tensor(np.asarray(seen, np.float64)):
        probs = layer(row).softmax(0).detach()
        total = 0.0
        for label, prob in enumerate(probs):
            layer.zero_grad()
            torch.nn.functional.cross_entropy(layer(row)[None], torch.tensor([label])).backward()
            assert layer.weight.grad is not None
            assert layer.bias.grad is not None
            total += float(prob * (layer.weight.grad.square().sum() + layer.bias.grad.square().sum()))
        expected.append(total)
    return np.array(expected)


def as_softmax(weights: Any, offsets: Any) -> tuple[Any, Any]:
    """Returns the softmax layer of C outputs with the same probabilities as a layer (J, H) of log odds, or of C."""
    if len(weights) > 1:
        return weights, offsets
    return np.concatenate([-weights, weights]) / 2, np.concatenate([-offsets, offsets]) / 2


@pytest.mark.parametrize("classes", [2, 5, 150])
def test_is_the_expected_squared_gradient_of_a_softmax_layer(classes: int) -> None:
    generator = np.random.default_rng(classes)
    seen, offsets = generator.standard_normal((6, 8)), generator.standard_normal(classes)
    weights = generator.standard_normal((classes, 8))
    probs = torch.as_tensor(seen @ weights.T + offsets).softmax(1).numpy()
    np.testing.assert_allclose(egl(probs, np.square(seen).sum(axis=1)), by_autograd(seen, weights, offsets), rtol=1e-10)


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_a_pool_over_a_logistic_head_as_a_softmax_layer_of_all_its_classes(classes: int) -> None:
    embeddings, numbers = clustered(60, 8, classes)
    head = fitted(embeddings, np.arange(30), numbers[:30])
    scores = view_of(embeddings, head=head, labeled=np.arange(30)).scores(EGL, DEFAULTS)
    expected = by_autograd(embeddings, *as_softmax(head.weights, head.offsets))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("hidden", [(5,), (6, 4), ()])
def test_scores_a_pool_over_a_network_by_what_its_last_layer_sees(classes: int, hidden: tuple[int, ...]) -> None:
    embeddings, _ = clustered(20, 8, 3)
    generator, sizes = np.random.default_rng(1), (8, *hidden, 1 if classes == 2 else classes)
    layers = tuple(
        Layer(
            generator.standard_normal((units, inputs)).astype(np.float32),
            generator.standard_normal(units).astype(np.float32),
        )
        for inputs, units in pairwise(sizes)
    )
    head = McDropoutHead(tuple(str(number) for number in range(classes)), np.zeros(sizes[0], np.float32), layers, 0.1)
    seen = embeddings.astype(np.float64)
    for layer in layers[:-1]:
        seen = np.maximum(seen @ layer.weights.T + layer.offsets, 0.0)
    scores = view_of(embeddings, head=head).scores(EGL, DEFAULTS)
    expected = by_autograd(seen, *as_softmax(layers[-1].weights, layers[-1].offsets))
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-6)


def test_scores_rows_that_came_later_by_their_own_norms() -> None:
    embeddings, numbers = clustered(3_000, 8, 3)
    head = fitted(embeddings, np.arange(30), numbers[:30])
    shelf = Shelf(1 << 30)
    view_of(embeddings[:2_000], head=head, shelf=shelf).scores(EGL, DEFAULTS)
    grown = view_of(embeddings, head=head, shelf=shelf).scores(EGL, DEFAULTS)
    np.testing.assert_array_equal(grown, view_of(embeddings, head=head).scores(EGL, DEFAULTS))


def test_is_zero_for_a_certain_row_however_long_and_never_below() -> None:
    certain = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(egl(certain, np.array([1e6, 0.0])), [0.0, 0.0])
    thirds = np.full((1, 3), 1 / 3)
    assert egl(thirds, np.array([0.0])) == pytest.approx(2 / 3)
    near = np.array([[1.0 - 1e-17, 1e-17], [1.0 - 1e-16, 1e-16]])
    assert (egl(near, np.ones(2)) >= 0).all()


def test_ranks_a_zero_embedding_by_the_bias_alone() -> None:
    head = LogisticHead(("a", "b"), np.ones((1, 4), np.float32), np.zeros(1, np.float32))
    scores = view_of(np.zeros((3, 4)), head=head).scores(EGL, DEFAULTS)
    np.testing.assert_allclose(scores, 0.5)


def test_names_the_row_that_is_not_finite() -> None:
    with pytest.raises(NotFinite, match="row 1"):
        egl(np.array([[0.5, 0.5], [np.nan, 0.5]]), np.ones(2))
