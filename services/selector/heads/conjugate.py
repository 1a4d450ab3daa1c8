"""Conjugate gradients for the second derivative of a linear model's penalized loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.selector.heads.loss import Float32, Float64, Loss
from services.selector.heads.preconditioner import Preconditioner


def hessian_product(features: Float32, loss: Loss, penalties: Float64, vectors: Float64) -> tuple[Float64, Float32]:
    """Returns the Hessian of loss(features @ w) + ½ Σ penalty · w² times vectors, and `features @ vectors`.

    Args:
        features: float32, shape (M, Q).
        loss: of outputs (M, J), at some outputs.
        penalties: shape (Q, 1).
        vectors: shape (Q, R · J), R vectors of J columns side by side.
    """
    seen: Float32 = features @ vectors.astype(np.float32)
    image: Float64 = (features.T @ loss.hessian_product(seen)).astype(np.float64) + penalties * vectors
    return image, seen


def conjugate_gradients(
    product: Callable[[Float64], tuple[Float64, Float32]],
    right: Float64,
    preconditioner: Preconditioner | None,
    *,
    systems: int,
    error: float,
    most: int,
) -> tuple[Float64, Float64 | float, int]:
    """Solves Hessian · solution = right, of one or several right sides at once.

    Args:
        product: from vectors (Q, R · J) to the Hessian times them, and to anything else that is linear in them.
        right: shape (Q, R · J), R right sides of J columns side by side.
        preconditioner: an approximate inverse of the Hessian, the same for each column; None for none.
        systems: R.
        error: a side is solved when its residual, in the preconditioner's norm, is this part of the right side.
        most: products to stop after.

    Returns:
        The solution (Q, R · J), the second result of `product` at the solution, and how many products it took.
    """
    shape = (len(right), systems, -1)

    def dots(one: Float64, other: Float64) -> Float64:
        sums: Float64 = np.einsum("qrj,qrj->r", one.reshape(shape), other.reshape(shape))
        return sums

    def scaled(vectors: Float64 | Float32, lengths: Float64) -> Float64:
        sized: Float64 = (
            vectors.reshape(len(vectors), systems, vectors.shape[1] // systems) * lengths[:, None]
        ).reshape(vectors.shape)
        return sized

    solution = np.zeros_like(right)
    moved: Float64 | float = 0.0
    residual = right
    pressed = residual if preconditioner is None else preconditioner.apply(residual)
    search = pressed.copy()
    size = first = dots(residual, pressed)
    for count in range(1, most + 1):
        image, seen = product(search)
        curve = dots(search, image)
        going = (curve > 0.0) & (size > error**2 * first)
        if not going.any():
            return solution, moved, count
        length = np.divide(size, curve, out=np.zeros_like(size), where=going)
        solution += scaled(search, length)
        moved = moved + scaled(seen, length)
        residual = residual - scaled(image, length)
        pressed = residual if preconditioner is None else preconditioner.apply(residual)
        new = dots(residual, pressed)
        if (~going | (new <= error**2 * first)).all():
            return solution, moved, count
        search = pressed + scaled(search, np.divide(new, size, out=np.zeros_like(size), where=size > 0.0))
        size = new
    return solution, moved, most
