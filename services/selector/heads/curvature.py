"""The second derivative of a LOGISTIC head's loss at its weights: what its labels leave undecided about them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import numpy as np
import scipy.linalg

from services.selector.heads.conjugate import conjugate_gradients, hessian_product
from services.selector.heads.loss import Float32, Float64, Loss, loss_of, sample_weights
from services.selector.heads.preconditioner import MAX_FEATURES, Preconditioner

if TYPE_CHECKING:
    from services.selector.heads.logistic import LogisticHead
    from services.selector.heads.posterior import Evidence

LOGGER = logging.getLogger(__name__)

# Up to so many weights the matrix is factored: 20 MB, and 0.2 s for 2,000 items on one core.
_MAX_DENSE: Final = 1_600
_CHUNK_ROWS: Final = 4_096
# How far a system is solved where it is not factored, and how many numbers one solve works on at a time.
_ERROR: Final = 1e-5
_MAX_PRODUCTS: Final = 300
_NUMBERS: Final = 4_000_000
# A part of the matrix's size, as the penalty of an intercept that the labels say nothing about: without it the
# variance would be infinite. Where they say anything it is below the rounding of the head's own weights.
_FLOOR: Final = 1e-10


class Curvature:
    """H, the Hessian of Σ weightᵢ lossᵢ + ½ penalty ‖w‖² by the weights (D + 1, J), intercepts in the last row.

    Of three or more classes, a constant added to all intercepts changes no loss: H is 0 in that direction, and what is
    called its inverse here is the pseudo-inverse, of minimum norm: no answer moves that way, no sample differs by it.

    Up to 1,600 weights H is factored (exact in float64; about M Q² J² / 2 + (QJ)³ / 3 multiplications); beyond, it is
    applied and systems are solved by conjugate gradients, to 1e-5 of the right side, without ever being formed: 10 to
    20 products of 4 M Q J multiplications each, more where there is hardly a penalty.
    Immutable, and safe to use from several threads.

    Args:
        features: float32, shape (M, D + 1), the embeddings and a column of ones.
        loss: of outputs (M, J), at the outputs of the head's weights.
        penalty: on each squared weight but the intercepts, more than 0.
    """

    def __init__(self, features: Float32, loss: Loss, penalty: float) -> None:
        self._features = features
        self._loss = loss
        self._outputs = loss.outputs
        self._size = features.shape[1]
        diagonals = [loss.hessian_entry(output, output) for output in range(loss.outputs)]
        squares = float(np.einsum("mq,mq->", features, features, dtype=np.float64)) / self._size
        floor = _FLOOR * (penalty + max(float(entries.max(initial=0.0)) for entries in diagonals) * squares)
        self._penalty = np.full(self._size, penalty)
        self._penalty[-1] = floor
        self._factor: Float64 | None = None
        self._preconditioner: Preconditioner | None = None
        if self._size * self._outputs <= _MAX_DENSE:
            self._factor = self._factored()
        elif self._size <= MAX_FEATURES:
            mean = sum(float(entries.sum()) for entries in diagonals) / max(len(features) * loss.outputs, 1)
            self._preconditioner = Preconditioner(features, self._penalty, max(mean, 1e-12))

    @classmethod
    def of(cls, head: LogisticHead, evidence: Evidence) -> Curvature:
        """Returns the curvature of a head's loss over the items it was fit on.

        Args:
            head: at the minimum of the loss, or the result is the curvature of a loss that still falls.
            evidence: the items, their classes as numbers into `head.labels`, and the penalty.

        Raises:
            ValueError: the penalty is not more than 0, or the evidence has another dimension.
        """
        if not evidence.penalty > 0:
            raise ValueError(f"penalty must be more than 0, got {evidence.penalty:g}")
        rows, dimension = evidence.embeddings.shape
        if dimension != head.weights.shape[1]:
            raise ValueError(f"embeddings must be of {head.weights.shape[1]} dimensions, got {dimension}")
        features = np.concatenate([evidence.embeddings, np.ones((rows, 1), np.float32)], axis=1)
        loss = loss_of(evidence.classes, sample_weights(evidence.classes, evidence.balanced), len(head.labels))
        loss.at((evidence.embeddings @ head.weights.T).astype(np.float64) + head.offsets)
        return cls(features, loss, evidence.penalty)

    def solve(self, right: Float64) -> Float64:
        """Returns H⁻¹ right.

        Args:
            right: shape (D + 1, J), or (R, D + 1, J) for several at once.

        Returns:
            float64, of the shape of `right`.
        """
        vectors = np.asarray(right, np.float64)
        several = self._without_null(vectors.reshape(-1, self._size, self._outputs))
        found = np.empty(several.shape)
        if self._factor is not None:
            flat = several.transpose(2, 1, 0).reshape(-1, len(several))
            flat = scipy.linalg.cho_solve((self._factor, False), flat, check_finite=False)
            found = flat.reshape(self._outputs, self._size, -1).transpose(2, 1, 0)
            return self._without_null(found).reshape(vectors.shape)
        step = max(1, _NUMBERS // (max(len(self._features), self._size) * self._outputs))
        for start in range(0, len(several), step):
            found[start : start + step] = self._iterated(several[start : start + step])
        return self._without_null(found).reshape(vectors.shape)

    def sample(self, samples: int, generator: np.random.Generator) -> Float64:
        """Returns draws from the Gaussian of mean 0 and covariance H⁻¹.

        Args:
            samples: S.
            generator: what they are drawn with.

        Returns:
            float64, shape (S, D + 1, J).

        Where H is not factored, a draw is H⁻¹ e of an e whose covariance is H: Xᵀ A ε + √penalty ε', A Aᵀ the loss's
        second derivative by the outputs (Papandreou & Yuille 2010, Gaussian sampling by local perturbations).
        """
        shape = (self._size, self._outputs)
        if self._factor is not None:
            noise = generator.standard_normal((samples, self._outputs * self._size)).T
            flat = scipy.linalg.solve_triangular(self._factor, noise, lower=False, check_finite=False)
            return self._without_null(flat.reshape(self._outputs, self._size, -1).transpose(2, 1, 0))
        draws = np.empty((samples, *shape))
        roots = np.sqrt(self._penalty)[:, None]
        for draw in draws:
            seen = self._loss.hessian_root(generator.standard_normal((len(self._features), self._outputs)))
            draw[:] = self._features.T @ seen.astype(np.float32) + roots * generator.standard_normal(shape)
        return self.solve(draws)

    def _factored(self) -> Float64:
        """Returns U, upper triangular, of H + α u uᵀ = Uᵀ U, u the unit vector in H's null direction."""
        size, outputs = self._size, self._outputs
        # Only the lower triangle of blocks is written; the factoring reads no more.
        hessian = np.zeros((outputs, size, outputs, size))
        for start in range(0, len(self._features), _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            features = self._features[rows].astype(np.float64)
            for one in range(outputs):
                for other in range(one + 1):
                    entries = self._loss.hessian_entry(one, other)[rows]
                    # A matrix times its own transpose takes half the work of two different ones.
                    part = features * np.sqrt(np.abs(entries))[:, None]
                    hessian[one, :, other, :] += (part.T @ part) * (1.0 if one == other else -1.0)
        matrix = hessian.reshape(outputs * size, -1)
        diagonal = np.einsum("ii->i", matrix)
        diagonal += np.tile(self._penalty, outputs)
        if outputs > 1:
            intercepts = hessian[:, -1, :, -1]
            intercepts += max(float(np.trace(intercepts)) / outputs, self._penalty[0]) / outputs
        # The transpose is in the order LAPACK works in; its upper triangle is what was written.
        factor, failed = scipy.linalg.lapack.dpotrf(matrix.T, lower=0, clean=1, overwrite_a=1)
        if failed:
            raise ValueError("the head's curvature is not positive: its weights or its evidence are not finite")
        upper: Float64 = factor
        return upper

    def _iterated(self, right: Float64) -> Float64:
        """Returns H⁻¹ right, (R, D + 1, J), by conjugate gradients."""
        # What is the same for all outputs the loss does not see: there H is the penalty alone. The rest is solved.
        same = np.zeros((len(right), self._size, 1))
        if self._outputs > 1:
            same = right.mean(axis=2, keepdims=True)
        columns = np.ascontiguousarray((right - same).transpose(1, 0, 2)).reshape(self._size, -1)
        penalties = self._penalty[:, None]
        found, _, products = conjugate_gradients(
            lambda vectors: hessian_product(self._features, self._loss, penalties, vectors),
            columns,
            self._preconditioner,
            systems=len(right),
            error=_ERROR,
            most=_MAX_PRODUCTS,
        )
        if products == _MAX_PRODUCTS:
            LOGGER.warning("a system of a head's curvature was not solved all the way", extra={"products": products})
        solved: Float64 = found.reshape(self._size, len(right), -1).transpose(1, 0, 2) + same / penalties
        return solved

    def _without_null(self, vectors: Float64) -> Float64:
        """Returns vectors (R, D + 1, J) without what is the same for all intercepts, a copy."""
        found = vectors.copy()
        if self._outputs > 1:
            found[:, -1] -= found[:, -1].mean(axis=1, keepdims=True)
        return found
