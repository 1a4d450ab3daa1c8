"""Cosines between rows of a pool, for leaving near-duplicates out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.selector.acquisition import Scope, View
from services.selector.heads import Projection

Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

# Rows whose cosines to the pool are computed in one pass.
_BLOCK = 256
# Two float16 rows that are the same have a float32 cosine within this of 1.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class _Nearest:
    """The largest cosine of each row to some rows."""

    to: Rows
    cosines: Float32

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.to.nbytes + self.cosines.nbytes


class Similarity:
    """Cosines of a view's rows. The cosine to a row of zeros is 0.

    They are raised by `ROUNDING`, so that an exact duplicate reaches 1.

    Args:
        view: the pool.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        norms = np.sqrt(view.embeddings.squared_norms())
        self._inverse_norms: Float32 = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)

    def to_labeled(self) -> Float32:
        """Returns each row's largest cosine to a labeled row, (N,), -1 where nothing is labeled.

        Kept between calls: costs a pass for each 256 rows labeled since, and one over the new rows of a pool that grew
        for each 256 labeled before. After a label was taken back it is computed anew.
        """
        labeled, rows = self._view.labeled, len(self._view.free)

        def update(known: _Nearest | None) -> _Nearest:
            if known is None or not np.isin(known.to, labeled, assume_unique=True).all():
                return _Nearest(labeled, self.to(labeled))
            new = np.setdiff1d(labeled, known.to, assume_unique=True)
            before = len(known.cosines)
            if before == rows and not len(new):
                return known
            found = np.full(rows, -1.0, np.float32)
            found[:before] = known.cosines
            if before < rows:
                self._raise(found, known.to, before)
            self._raise(found, new, 0)
            return _Nearest(labeled, found)

        return self._view.kept(Scope.PROJECT, "largest cosine to labeled rows", update).cosines

    def to(self, rows: Rows) -> Float32:
        """Returns each row's largest cosine to one of `rows`, (N,), -1 for no rows. Costs a pass for each 256 rows."""
        found = np.full(len(self._view.free), -1.0, np.float32)
        self._raise(found, rows, 0)
        return found

    def _raise(self, found: Float32, rows: Rows, start: int) -> None:
        """Raises cosines (N,) from row `start` on to those to any of `rows` that are larger."""
        for at in range(0, len(rows), _BLOCK):
            among = rows[at : at + _BLOCK]

            def consume(first: int, outputs: Float32) -> None:
                part = slice(first, first + len(outputs))
                cosines = np.maximum.reduce(outputs, axis=1) * self._inverse_norms[part] + ROUNDING
                np.maximum(found[part], cosines, out=found[part])

            directions = self._directions(among)
            self._view.embeddings.each(
                Projection(np.ascontiguousarray(directions.T), np.zeros(len(among), np.float32)), consume, start
            )

    def apart(self, rows: Rows, limit: float) -> npt.NDArray[np.int64]:
        """Returns positions in `rows`, from the first on, each of a row that is not too similar to one before."""
        directions = self._directions(rows)
        kept: list[int] = []
        for position in range(len(rows)):
            if not kept or float((directions[kept] @ directions[position]).max()) + ROUNDING < limit:
                kept.append(position)
        return np.array(kept, np.int64)

    def _directions(self, rows: Rows) -> Float32:
        directions: Float32 = self._view.embeddings.gather(rows) * self._inverse_norms[rows][:, None]
        return directions
