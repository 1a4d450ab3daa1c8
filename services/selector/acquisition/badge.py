"""BADGE: items whose gradients are large and unlike one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from services.selector.acquisition.gradients import Gradients
from services.selector.acquisition.kinds import PickFunction, Picks
from services.selector.acquisition.parameters import Parameters, Representation
from services.selector.acquisition.view import Float32, Float64, Rows, View
from services.selector.heads import Ability

# A pass over the pool costs about as much as so many draws that are refused.
_REFUSED = 32


def badge(view: View, k: int, parameters: Parameters, generator: np.random.Generator) -> Picks:
    """Picks rows by k-means++ over the gradients they would have were the head right.

    Ash, Zhang, Krishnamurthy, Langford & Agarwal 2020, deep batch active learning by diverse, uncertain gradient lower
    bounds. gᵢ = (pᵢ - e_ŷ) ⊗ xᵢ is the gradient of the loss by the last layer's weights with the likeliest class as
    label, the lowest of equals; x is what that layer sees: the embedding of a linear head, the penultimate activations
    of one with hidden layers. The first pick is the row of the largest ‖g‖, as in the authors' code, ties to the lower
    row; each pick after it is drawn with probability proportional to d², its squared distance to the nearest center.
    Rows reserved by others are centers from the start. When every free row left is a center's double, the rest is
    drawn uniformly.

    Draws without a pass over the pool for each: let wᵢ ≥ dᵢ² be bounds, such as the distances before the newest
    centers. Draw i with probability wᵢ / Σ w, accept it with probability dᵢ² / wᵢ, else draw again. A draw ends with
    row i with probability wᵢ / Σ w · dᵢ² / wᵢ = dᵢ² / Σ w; whatever was refused before, the next draw has the same
    law, so that the accepted row is i with probability dᵢ² / Σ d²: exactly k-means++. When bounds are renewed depends
    on what was drawn before, and not on what the next draw will be, so that this changes nothing. dᵢ² of a drawn row
    is computed in float64 from all centers; distances that float32 cannot tell from 0 in a pass count as 0.

    Scores are squared distances to the nearest center at the time of the pick; of the first pick, ‖g‖².

    Costs a pass over embeddings and probabilities for every few dozen of picks; N · C · D is never built.
    """
    gradients = Gradients(view, view.representation(replace(parameters, representation=Representation.PENULTIMATE)))
    wanted = min(k, int(np.count_nonzero(view.free)))
    bounds = np.where(view.free, np.float32(np.inf), np.float32(0))
    centers = _Centers(gradients, view.reserved)
    rows: list[int] = []
    scores: list[float] = []
    if not len(view.reserved):
        norms = np.where(view.free, gradients.squared_norms, np.float32(-1))
        rows.append(int(np.argmax(norms)))
        scores.append(float(norms[rows[0]]))
        centers.add(np.array(rows))
    while len(rows) < wanted:
        centers.lower(bounds)
        bounds[rows] = 0
        if not bounds.any():
            rest = np.setdiff1d(np.flatnonzero(view.free), rows)
            rows += generator.permutation(rest)[: wanted - len(rows)].tolist()
            scores += [0.0] * (wanted - len(scores))
            break
        for row, squared in _drawn(centers, bounds, generator, wanted - len(rows)):
            rows.append(row)
            scores.append(squared)
    return Picks(np.array(rows, np.int64), np.array(scores, np.float64))


def _drawn(
    centers: _Centers, bounds: Float32, generator: np.random.Generator, most: int
) -> Iterator[tuple[int, float]]:
    """Draws rows until enough are accepted or too many refused, and makes them centers.

    Args:
        centers: the centers so far.
        bounds: of squared distances, (N,), not all 0. Those of rows that were refused are lowered in the end.
        generator: draws.
        most: rows wanted.

    Yields:
        Rows, and their squared distances.
    """
    sums = np.cumsum(bounds, dtype=np.float64)
    refused: dict[int, float] = {}
    tries = 0
    while most and tries < _REFUSED:
        # The product may be rounded up to the last sum.
        row = min(int(np.searchsorted(sums, generator.random() * sums[-1], side="right")), len(sums) - 1)
        squared = min(centers.squared_distance(row), float(bounds[row]))
        if generator.random() * float(bounds[row]) < squared:
            centers.add(np.array([row]))
            most -= 1
            yield row, squared
        else:
            refused[row] = squared
            tries += 1
    for row, squared in refused.items():
        bounds[row] = squared


class _Centers:
    """Gradients of rows that were chosen, in float64.

    Args:
        gradients: of all rows.
        rows: the first centers.
    """

    def __init__(self, gradients: Gradients, rows: Rows) -> None:
        self._gradients = gradients
        self._errors, self._points = gradients.factors(rows)
        self._new = rows

    def add(self, rows: Rows) -> None:
        """Makes rows centers."""
        errors, points = self._gradients.factors(rows)
        self._errors = np.concatenate([self._errors, errors])
        self._points = np.concatenate([self._points, points])
        self._new = np.concatenate([self._new, rows])

    def lower(self, bounds: Float32) -> None:
        """Lowers bounds (N,) to distances from those centers that they have not been lowered to yet."""
        self._gradients.lower(bounds, self._new)
        self._new = self._new[:0]

    def squared_distance(self, row: int) -> float:
        """Returns the squared distance of a row to the nearest center, exactly 0 for a double."""
        errors, points = self._gradients.factors(np.array([row]))
        # a⊗x - b⊗y = (a - b)⊗x + b⊗(x - y): nothing cancels where both are small.
        error_gaps, point_gaps = errors - self._errors, points - self._points
        squared = (
            _products(error_gaps, error_gaps) * _products(points, points)
            + _products(self._errors, self._errors) * _products(point_gaps, point_gaps)
            + 2.0 * _products(error_gaps, self._errors) * _products(points, point_gaps)
        )
        return max(float(squared.min()), 0.0)


def _products(left: Float64, right: Float64) -> Float64:
    """Returns the products of rows."""
    found: Float64 = np.einsum("jd,jd->j", *np.broadcast_arrays(left, right))
    return found


BADGE = PickFunction(name="BADGE", pick=badge, needs=Ability.PROBABILITIES, extends=True)
