"""Gradients of a head's loss by its last layer, as if its own prediction were the label; never built."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from services.selector.acquisition.covered import rounding
from services.selector.acquisition.view import Embeddings, Float32, Float64, Rows, Scope, View, frozen
from services.selector.heads import Projection

# Centers measured in one pass.
_CENTERS = 128
# Rows whose probabilities are copied at a time.
_ROWS = 8_192


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """What all rows' a = p - e_ŷ differ from p in, and their sizes.

    Attributes:
        predicted: ŷ, the lowest of the likeliest classes, (N,), int32.
        missing: the probability of all other classes, (N,): -a at ŷ.
        squared: ‖a‖², (N,).
    """

    predicted: np.ndarray[tuple[int], np.dtype[np.int32]]
    missing: Float32
    squared: Float32

    @property
    def nbytes(self) -> int:
        return self.predicted.nbytes + self.missing.nbytes + self.squared.nbytes


class Gradients:
    """g = (p - e_ŷ) ⊗ x of all rows, (C, D) each, known by their products ⟨gᵢ, gⱼ⟩ = ⟨aᵢ, aⱼ⟩ ⟨xᵢ, xⱼ⟩.

    The gradient of -log p_ŷ by the weights of the last layer, of which x is the input: the derivative by logits is
    a = p - e_ŷ. 1 - p_ŷ is the sum of the other probabilities, which keeps its digits where p_ŷ is all but 1.

    Args:
        view: with a head that has probabilities.
        space: what the last layer sees.
    """

    def __init__(self, view: View, space: Embeddings) -> None:
        self._space = space
        self._probs = view.probabilities()
        self._errors = view.kept(Scope.HEAD, "gradient errors", self._computed_errors)
        self._squared = self._errors.squared * space.squared_norms()

    @property
    def squared_norms(self) -> Float32:
        """‖g‖², (N,)."""
        return self._squared

    def factors(self, rows: Rows) -> tuple[Float64, Float64]:
        """Returns a (n, C) and x (n, D) of some rows."""
        return self._errors_of(rows).astype(np.float64), self._space.gather(rows).astype(np.float64)

    def lower(self, bounds: Float32, rows: Rows) -> None:
        """Lowers bounds (N,) of squared distances to those from the gradients of some rows, in place.

        They are raised by what float32 may have lost, so that they are not below the true distances, except where
        float32 cannot tell the distance from 0: there they are 0. One pass over the pool for 128 rows.
        """
        for first in range(0, len(rows), _CENTERS):
            errors, points = self.factors(rows[first : first + _CENTERS])
            squared = np.einsum("jc,jc->j", errors, errors) * np.einsum("jd,jd->j", points, points)
            projection = Projection(points.T.astype(np.float32), np.zeros(len(points), np.float32))
            work = partial(self._lower_span, bounds, errors.astype(np.float32), squared.astype(np.float32)[:, None])
            self._space.each(projection, work)

    def _lower_span(self, bounds: Float32, errors: Float32, squared: Float32, first: int, outputs: Float32) -> None:
        rows = np.arange(first, first + len(outputs))
        own = self._squared[rows]
        products = errors @ self._errors_of(rows).T
        products *= outputs.T
        products *= -2.0
        products += squared
        products += own
        # ‖g‖² and the product of two products of C and of D terms.
        noise = rounding(self._space.dimension + errors.shape[1]) * (squared + own)
        found = np.where(products > noise, products + noise, np.float32(0)).min(axis=0)
        np.minimum(bounds[rows], found, out=found)
        bounds[rows] = found

    def _errors_of(self, rows: Rows) -> Float32:
        """Returns a = p - e_ŷ of some rows, (n, C), a copy."""
        errors: Float32 = self._probs[rows]
        errors[np.arange(len(rows)), self._errors.predicted[rows]] = -self._errors.missing[rows]
        return errors

    def _computed_errors(self, known: _Errors | None) -> _Errors:
        if known is not None and len(known.missing) == len(self._probs):
            return known
        predicted = np.empty(len(self._probs), np.int32)
        missing = np.empty(len(self._probs), np.float32)
        squared = np.empty(len(self._probs), np.float32)
        for first in range(0, len(self._probs), _ROWS):
            probs = self._probs[first : first + _ROWS].copy()
            span = slice(first, first + len(probs))
            likeliest = np.argmax(probs, axis=1)
            probs[np.arange(len(probs)), likeliest] = 0.0
            others = probs.sum(axis=1)
            predicted[span], missing[span] = likeliest, others
            squared[span] = np.einsum("nc,nc->n", probs, probs) + others * others
        return _Errors(frozen(predicted), frozen(missing), frozen(squared))
