"""The indexes of the pools searched last."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from services.embedder.search.exact import Rows, Scores, cosines, nearest, nearest_of_all
from services.embedder.search.neighbours import SIMILARITY_ERROR, Neighbours
from services.pools import Snapshot

# Where so many candidates do not decide, most rows are alike, and looking at each costs less than asking for more.
_MOST_CANDIDATES = 8192


class _Index:
    """What is built of one pool so far."""

    def __init__(self, dimension: int) -> None:
        self.neighbours = Neighbours(dimension)
        self.lock = threading.Lock()

    def follow(self, snapshot: Snapshot) -> None:
        """Adds the rows that are new."""
        start = 0
        for block in snapshot.blocks():
            known = len(self.neighbours)
            if start + len(block) > known:
                self.neighbours.add(block[max(0, known - start) :])
            start += len(block)


class Indexes:
    """Searches snapshots of pools. Safe from many threads; one search of a pool at a time.

    Args:
        most_bytes: What indexes may take together; the one used last stays whatever its size.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._indexes: OrderedDict[str, tuple[_Index, int]] = OrderedDict()
        self._lock = threading.Lock()

    def search(self, snapshot: Snapshot, query: npt.NDArray[np.floating], k: int) -> tuple[Scores, Rows]:
        """Returns cosine similarities and rows of the k items nearest to a vector, nearest first.

        The first search of a pool builds its index (about 2 s for 1,000,000 x 384); later ones add what is new.

        Args:
            snapshot: The pool, N rows.
            query: Shape (D,), finite, any length; similar to nothing where it is zero.
            k: Items wanted.

        Returns:
            float64 and int64, each shape (min(k, N),); ties by the lower row, the order in which items were added.
        """
        if not len(snapshot):
            return np.empty(0), np.empty(0, np.int64)
        wide = query.astype(np.float64)
        # Scaled first, so that squares neither overflow nor vanish.
        largest = float(np.abs(wide).max())
        scaled = wide / largest if largest else wide
        length = float(np.sqrt((scaled * scaled).sum()))
        unit = scaled / length if length else scaled
        index = self._index(snapshot)
        with index.lock:
            index.follow(snapshot)
            found = nearest(
                lambda wanted: _within(index.neighbours, unit, wanted, len(snapshot)),
                lambda rows: cosines(snapshot.gather(rows), unit),
                len(snapshot),
                k,
                error=SIMILARITY_ERROR,
                most=_MOST_CANDIDATES,
            )
        return nearest_of_all(snapshot.blocks(), unit, k) if found is None else found

    def _index(self, snapshot: Snapshot) -> _Index:
        size = 2 * len(snapshot) * snapshot.dimension
        with self._lock:
            kept = self._indexes.get(snapshot.incarnation)
            index = kept[0] if kept else _Index(snapshot.dimension)
            self._indexes[snapshot.incarnation] = (index, size)
            self._indexes.move_to_end(snapshot.incarnation)
            while len(self._indexes) > 1 and sum(size for _, size in self._indexes.values()) > self._most_bytes:
                self._indexes.popitem(last=False)
        return index


def _within(neighbours: Neighbours, unit: Scores, wanted: int, rows: int) -> tuple[npt.NDArray[np.float32], Rows]:
    """Returns the nearest of a snapshot's rows; the index may know later ones, which do not count."""
    extra = len(neighbours) - rows
    similarities, found = neighbours.nearest(unit, wanted + extra)
    inside = found < rows
    return similarities[inside][:wanted], found[inside][:wanted]
