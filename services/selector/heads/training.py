"""The embeddings of labeled items in one matrix that follows the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


class TrainingSet:
    """Rows of a pool with their classes, kept as one float32 matrix with a column of ones for the intercept.

    Costs D + 1 floats a labeled item, and for a change what changed.

    Args:
        dimension: D.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._slots: dict[int, int] = {}
        self._rows = np.empty(0, np.int64)
        self._classes = np.empty(0, np.int64)
        self._features = np.empty((0, dimension + 1), np.float32)

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def features(self) -> Float32:
        """Embeddings and a column of ones, (M, D + 1), a view."""
        return self._features[: len(self)]

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """Class numbers, (M,), a view."""
        return self._classes[: len(self)]

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return self._features.nbytes + len(self) * 120

    def without_class(self, rows: Sequence[int]) -> None:
        """Takes rows out; rows that are not there are ignored."""
        for row in rows:
            slot = self._slots.pop(row, None)
            if slot is None:
                continue
            last = len(self._slots)
            if slot != last:
                moved = int(self._rows[last])
                self._rows[slot], self._classes[slot] = moved, self._classes[last]
                self._features[slot] = self._features[last]
                self._slots[moved] = slot

    def reclassify(self, classes: Mapping[int, int]) -> list[int]:
        """Sets the classes of rows that are there. Returns the rows that are not, in order."""
        missing = []
        for row, number in classes.items():
            slot = self._slots.get(row)
            if slot is None:
                missing.append(row)
            else:
                self._classes[slot] = number
        return missing

    def add(self, rows: Sequence[int], classes: Sequence[int], embeddings: npt.NDArray[np.floating[Any]]) -> None:
        """Adds rows that are not there yet.

        Args:
            rows: n rows of the pool.
            classes: n class numbers.
            embeddings: shape (n, D).
        """
        start, stop = len(self), len(self) + len(rows)
        if stop > len(self._features):
            self._grow(max(stop, 2 * len(self._features), 64))
        self._features[start:stop, : self._dimension] = embeddings
        self._features[start:stop, self._dimension] = 1.0
        self._rows[start:stop] = rows
        self._classes[start:stop] = classes
        self._slots.update(zip(rows, range(start, stop), strict=True))

    def _grow(self, capacity: int) -> None:
        count = len(self)
        features = np.empty((capacity, self._dimension + 1), np.float32)
        features[:count] = self._features[:count]
        self._features = features
        self._rows = np.resize(self._rows, capacity)
        self._classes = np.resize(self._classes, capacity)
