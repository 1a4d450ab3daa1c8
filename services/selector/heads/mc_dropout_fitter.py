"""Fits MC_DROPOUT heads: Adam on the cross-entropy under dropout, until it falls no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from services.selector.heads.head import Float32, Head
from services.selector.heads.loss import sample_weights
from services.selector.heads.mc_dropout import Layer, McDropoutHead
from services.selector.heads.seen import seen_classes
from services.selector.heads.settings import McDropoutSettings

# Weights (units, inputs) and offsets (units,) of one layer.
_Linear = tuple[torch.Tensor, torch.Tensor]

_SEED: Final = 0
# Steps in an epoch where there are items enough, and how small and how large a batch is for it.
_STEPS: Final = 8
_LEAST_BATCH: Final = 32
_LARGEST_BATCH: Final = 256
# What counts as progress in an epoch, a part of the loss and so many nats, and how many epochs there may be none.
_PROGRESS: Final = 0.01
_NATS: Final = 0.002
_PATIENCE: Final = 5


class McDropoutFitter:
    """Fits MC_DROPOUT heads, each from the same random weights: a head is a function of labels and settings alone.

    Minimizes Σ weightᵢ lossᵢ under dropout of each layer's inputs + Σ ‖W‖² s / (2 C), W a layer's weights and s the
    mean squared norm of what it sees at the start, of a hidden layer over its units: without hidden layers LOGISTIC's
    loss, under dropout. By Adam (Kingma & Ba 2015), until the mean loss of an epoch has not fallen for 5 epochs. No
    label is held out for that: the few there are in active learning are worth more in the fit.

    Args:
        settings: layers, dropout and how they are fit.
    """

    def __init__(self, settings: McDropoutSettings) -> None:
        self._settings = settings

    @property
    def settings(self) -> McDropoutSettings:
        """How heads are fit."""
        return self._settings

    def fit(
        self,
        features: Float32,
        classes: npt.NDArray[np.integer[Any]],
        labels: Sequence[str],
        mean_squared_norm: float,
        start: Head | None = None,  # noqa: ARG002 - another start would be another head
    ) -> McDropoutHead:
        """Fits a head on labeled embeddings; see `Fitter.fit`.

        Costs 20 to 60 epochs of 8 or more steps: 0.1 to 0.5 s for M = 2,000, D = 384 on one core.
        """
        names, targets = seen_classes(classes, labels)
        settings, dimension = self._settings, features.shape[1] - 1
        # Centred inputs of variance 1, which the learning rate is for; the scale is folded into the first weights then.
        inputs = features[:, :-1].astype(np.float64)
        centre = inputs.mean(axis=0).astype(np.float32)
        inputs -= centre
        # Embeddings that are all the same, but for rounding, stay so.
        scale = math.sqrt(1.0 / max(float(np.mean(inputs**2)), 1e-6 * mean_squared_norm / dimension))
        outputs = 1 if len(names) == 2 else len(names)
        generator = torch.Generator().manual_seed(_SEED)
        layers = _minimized(
            torch.from_numpy((inputs * scale).astype(np.float32)),
            torch.from_numpy(targets),
            torch.from_numpy(sample_weights(targets, settings.balanced).astype(np.float32)),
            _initial([dimension, *settings.hidden, outputs], generator),
            settings,
            generator,
            scale**2 * mean_squared_norm,
        )
        found = [Layer(weights.numpy(), offsets.numpy()) for weights, offsets in layers]
        found[0] = Layer(found[0].weights * np.float32(scale), found[0].offsets)
        return McDropoutHead(names, centre, tuple(found), settings.dropout)


def _initial(sizes: Sequence[int], generator: torch.Generator) -> list[_Linear]:
    """Returns layers to start from: He et al. 2015 for those before a ReLU, zero for the last one."""
    layers = []
    for inputs, units in pairwise(sizes[:-1]):
        bound = math.sqrt(6.0 / inputs)
        weights = torch.empty(units, inputs).uniform_(-bound, bound, generator=generator)
        layers.append((weights, torch.zeros(units)))
    return [*layers, (torch.zeros(sizes[-1], sizes[-2]), torch.zeros(sizes[-1]))]


def _minimized(
    inputs: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    layers: list[_Linear],
    settings: McDropoutSettings,
    generator: torch.Generator,
    squares: float,
) -> list[_Linear]:
    """Returns the layers after the last epoch.

    Args:
        inputs: (M, D).
        targets: (M,), classes.
        weights: (M,), what each item weighs.
        layers: to start from; changed.
        settings: rates and the number of epochs.
        generator: of batches and masks.
        squares: mean squared norm of the inputs, before they were centred.
    """
    seen, penalties = inputs, []
    for number, (matrix, offsets) in enumerate(layers):
        units = len(matrix) if number < len(layers) - 1 else 1
        penalties.append(squares / (units * settings.inverse_regularization * len(seen)))
        seen = torch.relu(functional.linear(seen, matrix, offsets))
        squares = float((seen**2).sum()) / len(seen)
    parameters = [parameter.requires_grad_() for layer in layers for parameter in layer]
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate, fused=True)
    batch = min(max(len(inputs) // _STEPS, _LEAST_BATCH), _LARGEST_BATCH)
    best, idle = math.inf, 0
    for _epoch in range(settings.max_epochs):
        total = 0.0
        for rows in torch.randperm(len(inputs), generator=generator).split(batch):
            outputs = _dropped_out(inputs[rows], layers, settings.dropout, generator)
            loss = torch.mean(weights[rows] * _losses(outputs, targets[rows]))
            for penalty, (matrix, _) in zip(penalties, layers, strict=True):
                loss = loss + 0.5 * penalty * (matrix**2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(rows) / len(inputs)
        idle = 0 if total < best - max(_PROGRESS * best, _NATS) or math.isinf(best) else idle + 1
        if idle == _PATIENCE:
            break
        best = min(best, total)
    return [(matrix.detach(), offsets.detach()) for matrix, offsets in layers]


def _dropped_out(
    seen: torch.Tensor, layers: Sequence[_Linear], rate: float, generator: torch.Generator
) -> torch.Tensor:
    """Returns the outputs of the last layer, a mask of each item's own before each layer."""
    for number, (matrix, offsets) in enumerate(layers):
        mask = torch.empty_like(seen, requires_grad=False).bernoulli_(1.0 - rate, generator=generator)
        seen = functional.linear(seen * mask / (1.0 - rate), matrix, offsets)
        if number < len(layers) - 1:
            seen = torch.relu(seen)
    return seen


def _losses(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns the cross-entropy of each item, (M,), of outputs (M, J), the log odds where J is 1."""
    if outputs.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(outputs[:, 0], targets.float(), reduction="none")
    return functional.cross_entropy(outputs, targets, reduction="none")
