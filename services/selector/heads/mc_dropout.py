"""MC_DROPOUT: a small network with dropout before its layers, sampled by dropout before its last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from services.selector.heads.head import Ability, Float32, Float64, Projection
from services.selector.heads.posterior import Evidence, LinearPosterior, Posterior, Sampling, linear_posterior
from services.selector.heads.seeding import dropout_masks, generator_of
from services.selector.heads.settings import McDropoutSettings
from services.selector.heads.softmax import sampled_probabilities, softmax, two_class_probabilities


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A linear layer: x ↦ x Wᵀ + b.

    Attributes:
        weights: float32, shape (units, inputs).
        offsets: float32, shape (units,).
    """

    weights: Float32
    offsets: Float32


@dataclass(frozen=True, slots=True, eq=False)
class McDropoutHead:
    """A network that was fit: linear layers with ReLU between them.

    Grießhaber, Maucher & Vu 2020, fine-tuning BERT for low-resource natural language understanding via active learning,
    section 3.2: Monte-Carlo dropout in the penultimate layer only, so that all before it is computed once.

    Attributes:
        labels: the labels seen, C of them, in the order of probability columns.
        centre: float32, shape (D,), taken from embeddings before they are dropped: what they have in common, most of a
            transformer's embedding, then neither comes nor goes with a mask.
        layers: at least one; the first sees x - centre, x as the pool has it, the last gives J outputs, J = 1, the log
            odds of the second, for two classes, else C.
        dropout: the rate it was fit with, and is sampled with.
    """

    labels: tuple[str, ...]
    centre: Float32
    layers: tuple[Layer, ...]
    dropout: float

    @property
    def kind(self) -> str:
        """The name it is stored under."""
        return McDropoutSettings.kind

    @property
    def abilities(self) -> Ability:
        """What it can tell; linear without hidden layers."""
        return McDropoutSettings(hidden=tuple(len(layer.offsets) for layer in self.layers[:-1])).abilities

    @property
    def projection(self) -> Projection:
        """The first layer, over embeddings as the pool has them."""
        first = self.layers[0]
        return Projection(np.ascontiguousarray(first.weights.T), first.offsets - first.weights @ self.centre)

    def probabilities(self, outputs: Float32) -> Float64:
        """Returns probabilities (n, C) from what the first layer gave, without dropout."""
        logits = self._logits(outputs).astype(np.float64)
        return two_class_probabilities(logits[:, 0]) if len(self.labels) == 2 else softmax(logits)

    def decisions(self, outputs: Float32) -> Float64:
        """Returns logits (n, C); of two classes, half the log odds with either sign."""
        logits = self._logits(outputs).astype(np.float64)
        return np.concatenate([-logits, logits], axis=1) / 2 if len(self.labels) == 2 else logits

    def penultimate(self, outputs: Float32) -> Float32 | None:
        """Returns what the last layer sees, (n, H), not negative, without dropout; None without hidden layers."""
        return activations(self.layers, outputs).T if len(self.layers) > 1 else None

    def posterior(self, sampling: Sampling, evidence: Callable[[], Evidence]) -> Posterior:  # noqa: ARG002
        """Returns samples of the head: dropout of what the last layer sees, one mask a sample for the whole pool.

        `sampling.kind` and `sampling.dropout` are for LOGISTIC heads: the rate is the head's own, and there is no other
        kind. The evidence is not gathered.

        Costs S · J · H numbers, H what the last layer sees.
        """
        last = self.layers[-1]
        arrays = [self.centre, *(array for layer in self.layers for array in (layer.weights, layer.offsets))]
        generator = generator_of(arrays, self.kind, self.labels, self.dropout, sampling.samples)
        masks = dropout_masks(sampling.samples, last.weights.shape[1], self.dropout, generator)
        weights = masks[:, None, :] * last.weights
        if len(self.layers) == 1:
            centred = (last.offsets - weights @ self.centre).astype(np.float32)
            return linear_posterior(weights, centred, len(self.labels))
        offsets = np.broadcast_to(last.offsets, (sampling.samples, len(last.offsets)))
        return NetworkPosterior(self.projection, self.layers, linear_posterior(weights, offsets, len(self.labels)))

    def _logits(self, outputs: Float32) -> Float32:
        if len(self.layers) == 1:
            return outputs
        return _multiplied(self.layers[-1].weights, self.layers[-1].offsets, activations(self.layers, outputs)).T


@dataclass(frozen=True, slots=True, eq=False)
class NetworkPosterior:
    """Samples of a network's last layer; the layers before it are the same in each.

    Attributes:
        projection: the first layer.
        layers: of the network.
        last: samples of the last layer, over what it sees.
    """

    projection: Projection
    layers: tuple[Layer, ...]
    last: LinearPosterior

    @property
    def samples(self) -> int:
        """S."""
        return self.last.samples

    def probabilities(self, outputs: Float32) -> Float32:
        """Returns samples of probabilities (S, n, C), a view of (S, C, n), from what the first layer gave, (n, H)."""
        seen = activations(self.layers, outputs)
        logits = _multiplied(self.last.projection.weights.T, self.last.projection.offsets, seen)
        return sampled_probabilities(logits.reshape(self.samples, -1, len(outputs)), self.last.classes)


def activations(layers: tuple[Layer, ...], outputs: Float32) -> Float32:
    """Returns what the last of two or more layers sees, (H, n), from what the first gave, (n, H₁)."""
    seen: Float32 = np.maximum(outputs.T, 0.0)
    for layer in layers[1:-1]:
        seen = _multiplied(layer.weights, layer.offsets, seen)
        np.maximum(seen, 0.0, out=seen)
    return seen


def _multiplied(weights: Float32, offsets: Float32, seen: Float32) -> Float32:
    """Returns weights (J, H) times what is seen, (H, n), plus offsets: (J, n).

    By torch on this thread alone: the callers are a few threads already, and numpy's would wait for one another.
    """
    with torch.inference_mode():
        product: Float32 = torch.mm(_tensor(weights), _tensor(seen)).numpy()
    product += offsets[:, None]
    return product


def _tensor(array: Float32) -> torch.Tensor:
    # torch knows no read-only tensors and warns of such arrays.
    return torch.from_numpy(array if array.flags.writeable else array.copy())
