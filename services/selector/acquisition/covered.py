"""How far the rows of a pool are from points that were labeled or chosen, in passes over float16 embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from services.selector.acquisition.view import Embeddings, Float32, Float64, Rows, Scope, View, frozen
from services.selector.heads import Projection

# Points measured in one pass: more would only make what a thread holds larger than its cache.
_POINTS = 128
# Rows that tell whether a pool lies far from 0.
_SAMPLE = 1_024
# Rows gathered at a time where all are needed.
_GATHERED = 8_192
# A pool whose variance is less than this part of its mean squared norm is measured about its mean.
_FAR = 1 / 16


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """The point about which a pool is measured.

    ‖x - c‖² = ‖x‖² + ‖c‖² - 2 x·c loses everything in float32 where the norms are large and the differences small.
    About an origin o near the pool, ‖x - o‖² + ‖c - o‖² - 2 (x - o)·(c - o), the norms are as small as the differences,
    and the rounding of x·(c - o) - o·(c - o) grows with ‖x‖ ‖c - o‖ and no longer with ‖x‖².

    Attributes:
        point: o, (D,).
        squared: ‖x - o‖², (N,), float32.
    """

    point: Float64
    squared: Float32

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.point.nbytes + self.squared.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Covered:
    """Squared distances of all rows to the nearest of some rows.

    Attributes:
        squared: (N,), float32; infinity where there are no such rows.
        rows: the rows they are distances to, ascending.
    """

    squared: Float32
    rows: Rows

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.squared.nbytes + self.rows.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class _Sum:
    """The sum of the first rows."""

    total: Float64
    rows: int

    @property
    def nbytes(self) -> int:
        return self.total.nbytes


class Distances:
    """Euclidean distances between the rows of a pool and points.

    Args:
        view: where values are kept.
        space: the view's embeddings, or its head's activations.
    """

    def __init__(self, view: View, space: Embeddings) -> None:
        self._view = view
        self._space = space
        moves = space is not view.embeddings
        self._of_rows = Scope.HEAD if moves else Scope.POOL
        self._of_labels = Scope.HEAD if moves else Scope.PROJECT
        self._origin = self._suitable_origin()

    def lower(self, squared: Float32, points: Float32 | Float64, start: int = 0) -> None:
        """Lowers squared distances (N,) to those of points (n, D), in one pass over the pool for 128 points.

        Args:
            squared: what is lowered in place.
            points: the points.
            start: the first row to be lowered; rows before it may be too.
        """
        origin = self._origin.point
        for first in range(0, len(points), _POINTS):
            moved = points[first : first + _POINTS].astype(np.float64) - origin
            offsets = np.einsum("jd,jd->j", moved, moved) + 2.0 * (moved @ origin)
            projection = Projection((-2.0 * moved.T).astype(np.float32), offsets.astype(np.float32))
            self._space.each(projection, partial(self._lower_span, squared), start)

    def to_labeled(self) -> Covered:
        """Returns distances to the labeled rows, kept between calls.

        New labels cost one pass for 128 of them, new rows one over those rows; a label that was taken back has all of
        it computed anew.
        """
        return self._view.kept(self._of_labels, "distances to labeled", self._with_labels)

    def uncertainty(self, squared: Float32) -> Float64:
        """Returns how much a row's squared distance may differ from the true one through rounding, (N,).

        Errors of the products of D terms add up like a random walk; twice its standard deviation at most. The nearest
        point's norm is at most the row's own plus the distance.
        """
        own = np.sqrt(self._origin.squared, dtype=np.float64)
        reach = own + np.sqrt(squared, dtype=np.float64)
        norms = np.sqrt(self._space.squared_norms(), dtype=np.float64)
        found: Float64 = rounding(self._space.dimension) * (2.0 * norms * reach + own * own + reach * reach)
        return found

    def mean(self) -> Float64:
        """Returns the mean of all rows, (D,); about a millisecond for a thousand rows, kept."""

        def update(known: _Sum | None) -> _Sum:
            total = np.zeros(self._space.dimension) if known is None else known.total.copy()
            for part in gathered(self._space, 0 if known is None else known.rows):
                total += part.sum(axis=0, dtype=np.float64)
            return _Sum(total, len(self._space))

        found: Float64 = self._view.kept(self._of_rows, "sum", update).total / len(self._space)
        return found

    def _with_labels(self, known: Covered | None) -> Covered:
        labeled = self._view.labeled
        if known is None or not np.isin(known.rows, labeled, assume_unique=True).all():
            known = Covered(np.empty(0, np.float32), labeled[:0])
        added = np.setdiff1d(labeled, known.rows, assume_unique=True)
        before = len(known.squared)
        if before == len(self._space) and not len(added):
            return known
        squared = np.full(len(self._space), np.inf, np.float32)
        squared[:before] = known.squared
        if len(known.rows) and before < len(squared):
            self.lower(squared, self._space.gather(known.rows), before)
        self.lower(squared, self._space.gather(added))
        return Covered(frozen(squared), labeled.copy())

    def _lower_span(self, squared: Float32, first: int, outputs: Float32) -> None:
        span = slice(first, first + len(outputs))
        found: Float32 = np.minimum.reduce(outputs, axis=1)
        found += self._origin.squared[span]
        np.maximum(found, 0.0, out=found)
        np.minimum(squared[span], found, out=squared[span])

    def _suitable_origin(self) -> Origin:
        space = self._space
        sample = space.gather(np.unique(np.linspace(0, len(space) - 1, _SAMPLE).astype(np.int64))).astype(np.float64)
        mean = sample.mean(axis=0)
        variance = float(np.square(sample - mean).sum(axis=1).mean())
        if variance >= _FAR * (variance + float(mean @ mean)):
            return Origin(np.zeros(space.dimension), space.squared_norms())

        def update(known: Origin | None) -> Origin:
            # The pool may have grown to another place. A constant one has no variance, and its mean is rounded.
            if known is None or float(np.square(known.point - mean).sum()) > variance + 1e-6 * float(mean @ mean):
                known = Origin(mean, np.empty(0, np.float32))
            before = len(known.squared)
            if before == len(space):
                return known
            origin = known.point.astype(np.float32)
            norms = [np.square(part - origin).sum(axis=1) for part in gathered(space, before)]
            return Origin(origin.astype(np.float64), frozen(np.concatenate([known.squared, *norms])))

        return self._view.kept(self._of_rows, "origin", update)


def rounding(terms: int) -> float:
    """Returns the relative rounding error that float32 sums of so many terms hardly ever exceed."""
    return float(np.sqrt(terms)) * float(np.finfo(np.float32).eps)


def gathered(space: Embeddings, start: int) -> Iterator[Float32]:
    """Yields all rows from `start` on as float32, some at a time."""
    for first in range(start, len(space), _GATHERED):
        yield space.gather(np.arange(first, min(first + _GATHERED, len(space))))
