"""Newton's method with preconditioned conjugate gradients for a convex loss of a linear model."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from services.selector.heads.conjugate import conjugate_gradients, hessian_product
from services.selector.heads.loss import Float32, Float64, Loss
from services.selector.heads.preconditioner import Preconditioner

LOGGER = logging.getLogger(__name__)

_MAX_STEPS = 100
_MAX_PRODUCTS = 1_000
# How far a step is solved: the error of a step is a tenth of the step, and the last step is small.
_STEP_ERROR = 0.1
_SUFFICIENT = 1e-4
# float32 outputs leave this much noise in the loss, relative to it: a step within it is not refused.
_NOISE = 1e-6
# Steps in a row that neither lower the loss by more than that noise nor are shorter: all that is left is rounding.
_STALLED = 3


@dataclass(frozen=True, slots=True)
class Solution:
    """What `minimize` found.

    Attributes:
        weights: float64, shape (Q, J).
        steps: Newton steps taken.
        products: products with the Hessian taken; each costs two passes over the features.
        last_step: the largest change of an output in the last step, the measure of convergence.
    """

    weights: Float64
    steps: int
    products: int
    last_step: float


def minimize(
    features: Float32,
    loss: Loss,
    penalty: Float64,
    start: Float64,
    preconditioner: Preconditioner | None,
    *,
    tolerance: float,
) -> Solution:
    """Minimizes loss(features @ w) + ½ Σ penalty · w².

    Newton's method leaves an error of the order of the last step's square, so a last step within `tolerance` leaves
    weights as exact as float32 features allow: outputs within about `tolerance` · `_STEP_ERROR` of the optimum's.
    Decisions near a probability of 1/2 then do not depend on where the search started.

    Args:
        features: float32, shape (M, Q), C-contiguous.
        loss: of outputs (M, J).
        penalty: shape (Q,), not negative; 0 for a feature that is not penalized.
        start: shape (Q, J).
        preconditioner: an approximate inverse of the Hessian, the same for each output; None for none.
        tolerance: the largest change of an output in a step that counts as none, more than 0.

    Returns:
        The weights, where float32 allows no such step, as when all embeddings have much in common, as exact as it does.
        When `_MAX_STEPS` are not enough the best found is returned and a warning logged.

    Costs 2 M Q J multiplications a product; a warm start takes 5 to 20 products, a cold one 15 to 30.
    """
    penalties = penalty[:, None]
    scale = float(np.sqrt(np.einsum("mq,mq->", features, features) / max(len(features), 1)))
    weights = start.copy()
    outputs = _outputs(features, weights)
    value = loss.at(outputs) + 0.5 * float(np.sum(penalties * weights**2))
    products, last_step, least, stalled = 0, np.inf, np.inf, 0
    for step in range(1, _MAX_STEPS + 1):
        gradient = (features.T @ loss.gradient()).astype(np.float64) + penalties * weights
        direction, moved, used = _direction(features, loss, penalties, gradient, preconditioner)
        products += used
        # A direction that no labeled item sees still moves the outputs of others.
        last_step = max(float(np.abs(moved).max(initial=0.0)), float(np.linalg.norm(direction, axis=0).max()) * scale)
        slope = float(np.sum(gradient * direction))
        length = 1.0
        while True:
            trial = weights + length * direction
            outputs = _outputs(features, trial)
            found = loss.at(outputs) + 0.5 * float(np.sum(penalties * trial**2))
            if found <= value + _SUFFICIENT * length * slope + _NOISE * abs(value) or length < 1e-4:
                break
            length /= 2
        stalled = 0 if value - found > _NOISE * abs(value) or last_step < 0.5 * least else stalled + 1
        weights, value, least = trial, found, min(least, last_step)
        if (length == 1.0 and last_step <= tolerance) or stalled == _STALLED:
            return Solution(weights, step, products, last_step)
    LOGGER.warning("a head's fit stopped before it converged", extra={"steps": _MAX_STEPS, "last_step": last_step})
    return Solution(weights, _MAX_STEPS, products, last_step)


def _outputs(features: Float32, weights: Float64) -> Float64:
    return (features @ weights.astype(np.float32)).astype(np.float64)


def _direction(
    features: Float32, loss: Loss, penalties: Float64, gradient: Float64, preconditioner: Preconditioner | None
) -> tuple[Float64, Float64, int]:
    """Solves Hessian · direction = -gradient roughly: the direction, what it does to the outputs, the products."""
    direction, moved, products = conjugate_gradients(
        lambda search: hessian_product(features, loss, penalties, search),
        -gradient,
        preconditioner,
        systems=1,
        error=_STEP_ERROR,
        most=_MAX_PRODUCTS,
    )
    return direction, np.broadcast_to(moved, (len(features), gradient.shape[1])), products
