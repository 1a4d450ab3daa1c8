"""The log loss of a linear model and its derivatives by the model's outputs, as scikit-learn defines it.

Two classes have one output, the log odds of the second class (binomial loss); more have one output each (softmax).
All sums run in float64 over float32 outputs.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer[Any]]


class Loss(Protocol):
    """A loss of outputs (M, J), its targets and sample weights fixed."""

    outputs: int
    curvature: float

    def at(self, outputs: Float64) -> float:
        """Returns the weighted sum of losses, and keeps the probabilities for what follows."""

    def gradient(self) -> Float32:
        """Returns the derivative by outputs at the last `at`, (M, J)."""

    def hessian_product(self, directions: Float32) -> Float32:
        """Returns the second derivative at the last `at` times directions, (M, R · J), R of them side by side."""

    def hessian_entry(self, one: int, other: int) -> Float64:
        """Returns the second derivative at the last `at` by two of the outputs, (M,)."""

    def hessian_root(self, noise: Float64) -> Float64:
        """Returns A noise, (M, J), of a matrix A for which A Aᵀ is the second derivative at the last `at`."""


def sample_weights(targets: Integers, balanced: bool) -> Float64:
    """Returns what each item weighs, (M,): 1, or, balanced, inversely to how many have its class, 1 on average.

    Args:
        targets: (M,), class numbers.
        balanced: as scikit-learn's class weights "balanced".
    """
    if not balanced:
        return np.ones(len(targets))
    seen, inverse, counts = np.unique(targets, return_inverse=True, return_counts=True)
    weights: Float64 = (len(targets) / (max(len(seen), 1) * counts.astype(np.float64)))[inverse]
    return weights


def loss_of(targets: Integers, weights: Float64, classes: int) -> Loss:
    """Returns the loss of so many classes."""
    return BinomialLoss(targets, weights) if classes == 2 else MultinomialLoss(targets, weights, classes)


class BinomialLoss:
    """The loss of two classes over their log odds, J = 1.

    Args:
        targets: (M,), 0 or 1.
        weights: (M,), positive.

    Attributes:
        outputs: J.
        curvature: about what the second derivative is, for preconditioning.
    """

    outputs = 1

    def __init__(self, targets: Integers, weights: Float64) -> None:
        self._signs = 2.0 * targets[:, None] - 1.0
        self._weights = weights[:, None]
        # At most 1/4, where the head is unsure; less elsewhere.
        self.curvature = 0.15
        self._wrong = np.empty_like(self._weights)

    def at(self, outputs: Float64) -> float:
        """Returns the weighted sum of losses."""
        losses = np.logaddexp(0.0, -self._signs * outputs)
        # 1 - p(target) = 1 - exp(-loss), without cancellation where the loss is small.
        self._wrong = -np.expm1(-losses)
        return float(np.sum(self._weights * losses))

    def gradient(self) -> Float32:
        """Returns the derivative by outputs, (M, 1)."""
        return (-self._signs * self._weights * self._wrong).astype(np.float32)

    def hessian_product(self, directions: Float32) -> Float32:
        """Returns the second derivative times directions, (M, R)."""
        curvatures: Float32 = (self._weights * self._wrong * (1.0 - self._wrong)).astype(np.float32)
        return curvatures * directions

    def hessian_entry(self, one: int, other: int) -> Float64:  # noqa: ARG002 - there is one output
        """Returns the second derivative, (M,)."""
        curvatures: Float64 = (self._weights * self._wrong * (1.0 - self._wrong))[:, 0]
        return curvatures

    def hessian_root(self, noise: Float64) -> Float64:
        """Returns the root of the second derivative times noise, (M, 1)."""
        root: Float64 = np.sqrt(self._weights * self._wrong * (1.0 - self._wrong)) * noise
        return root


class MultinomialLoss:
    """The loss of three or more classes over one output each, J = C.

    Args:
        targets: (M,), 0 to C - 1.
        weights: (M,), positive.
        classes: C.

    Attributes:
        outputs: J.
        curvature: about what the second derivative is, for preconditioning.
    """

    def __init__(self, targets: Integers, weights: Float64, classes: int) -> None:
        self._targets = targets
        self._rows = np.arange(len(targets))
        self._weights = weights[:, None]
        self.outputs = classes
        self.curvature = 0.6 * (1.0 - 1.0 / classes) / classes
        self._probs = np.empty((len(targets), classes), np.float32)

    def at(self, outputs: Float64) -> float:
        """Returns the weighted sum of losses."""
        shifted = outputs - outputs.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        sums = exponentials.sum(axis=1, keepdims=True)
        self._probs = (exponentials / sums).astype(np.float32)
        losses = np.log(sums[:, 0]) - shifted[self._rows, self._targets]
        return float(self._weights[:, 0] @ losses)

    def gradient(self) -> Float32:
        """Returns the derivative by outputs, (M, C)."""
        wrong = self._probs.copy()
        wrong[self._rows, self._targets] -= 1.0
        return (self._weights * wrong).astype(np.float32)

    def hessian_product(self, directions: Float32) -> Float32:
        """Returns the second derivative times directions, (M, R · C)."""
        several = directions.reshape(len(directions), directions.shape[1] // self.outputs, self.outputs)
        probs = self._probs[:, None, :]
        weighted = probs * several
        product = weighted - probs * weighted.sum(axis=2, keepdims=True)
        weighted_product: Float32 = (self._weights[:, None] * product).astype(np.float32)
        return weighted_product.reshape(directions.shape)

    def hessian_entry(self, one: int, other: int) -> Float64:
        """Returns the second derivative by two of the outputs, (M,)."""
        first = self._probs[:, one].astype(np.float64)
        if one == other:
            # 1 - p as the sum of the others: rows of the second derivative then sum to 0, so that it is not negative.
            factor = self._probs.sum(axis=1, dtype=np.float64) - first
        else:
            factor = -self._probs[:, other].astype(np.float64)
        entry: Float64 = self._weights[:, 0] * first * factor
        return entry

    def hessian_root(self, noise: Float64) -> Float64:
        """Returns the root of the second derivative times noise, (M, C)."""
        probs = self._probs.astype(np.float64)
        probs /= probs.sum(axis=1, keepdims=True)
        # (diag(√p) - p √pᵀ)(diag(√p) - √p pᵀ) = diag(p) - p pᵀ.
        part = np.sqrt(probs) * noise
        root: Float64 = np.sqrt(self._weights) * (part - probs * part.sum(axis=1, keepdims=True))
        return root
