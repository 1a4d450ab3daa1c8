"""Append-only columns whose earlier rows never move under a reader."""

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

BLOCK_ROWS: Final = 65_536
_SHIFT: Final = 16
_FIRST_BYTES: Final = 1 << 12

_Scalar = TypeVar("_Scalar", bound=np.generic)


class Column(Generic[_Scalar]):
    """Rows of numbers in blocks of 65,536, shape (N, *shape).

    A block is allocated whole; the pages of it that were never written take no memory. One thread appends at a time;
    any number read rows that were appended before they began.
    """

    def __init__(self, dtype: type[_Scalar], shape: tuple[int, ...] = ()) -> None:
        self._dtype = dtype
        self._shape = shape
        self._blocks: list[npt.NDArray[_Scalar]] = []
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def extend(self, values: npt.NDArray[_Scalar]) -> None:
        """Appends rows, shape (n, *shape)."""
        done = 0
        while done < len(values):
            at = self._rows % BLOCK_ROWS
            if at == 0 and self._rows == len(self._blocks) * BLOCK_ROWS:
                self._blocks.append(np.empty((BLOCK_ROWS, *self._shape), self._dtype))
            count = min(BLOCK_ROWS - at, len(values) - done)
            self._blocks[-1][at : at + count] = values[done : done + count]
            done += count
            self._rows += count

    def blocks(self, rows: int) -> list[npt.NDArray[_Scalar]]:
        """Returns read-only views of the first `rows` rows, a block each."""
        views = []
        for start in range(0, rows, BLOCK_ROWS):
            view = self._blocks[start >> _SHIFT][: min(BLOCK_ROWS, rows - start)]
            view.flags.writeable = False
            views.append(view)
        return views

    def gather(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[_Scalar]:
        """Returns a copy of the given rows, which must be there, in the order asked."""
        if len(self._blocks) == 1:
            return self._blocks[0][rows]
        out = np.empty((len(rows), *self._shape), self._dtype)
        numbers = rows >> _SHIFT
        for number in np.unique(numbers):
            here = np.flatnonzero(numbers == number)
            out[here] = self._blocks[number][rows[here] & (BLOCK_ROWS - 1)]
        return out


class Strings:
    """Strings as packed UTF-8 in blocks of 65,536, about 4 bytes each beside their own.

    One thread appends at a time; any number read rows that were appended before they began.
    """

    def __init__(self) -> None:
        self._bytes: list[npt.NDArray[np.uint8]] = []
        self._ends: list[npt.NDArray[np.uint32]] = []
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def extend(self, strings: Sequence[str]) -> None:
        """Appends strings."""
        done = 0
        while done < len(strings):
            at = self._rows % BLOCK_ROWS
            if at == 0 and self._rows == len(self._ends) * BLOCK_ROWS:
                self._bytes.append(np.empty(_FIRST_BYTES, np.uint8))
                self._ends.append(np.empty(BLOCK_ROWS, np.uint32))
            encoded = [string.encode() for string in strings[done : done + BLOCK_ROWS - at]]
            ends, start = self._ends[-1], int(self._ends[-1][at - 1]) if at else 0
            reached = start + np.cumsum([len(one) for one in encoded], dtype=np.uint32)
            self._fit(int(reached[-1]))
            self._bytes[-1][start : reached[-1]] = np.frombuffer(b"".join(encoded), np.uint8)
            ends[at : at + len(encoded)] = reached
            done += len(encoded)
            self._rows += len(encoded)
        if self._rows and self._rows % BLOCK_ROWS == 0:
            # A full block keeps no room to grow.
            self._bytes[-1] = self._bytes[-1][: self._ends[-1][-1]].copy()

    def decode(self, rows: npt.NDArray[np.int64]) -> list[str]:
        """Returns the strings of rows that are there, in the order asked (about 0.5 µs a row)."""
        out = [""] * len(rows)
        numbers = rows >> _SHIFT
        for number in np.unique(numbers).tolist():
            here = np.flatnonzero(numbers == number)
            within = rows[here] & (BLOCK_ROWS - 1)
            ends = self._ends[number]
            starts = np.where(within > 0, ends[within - 1], 0)
            packed = memoryview(self._bytes[number])
            for at, start, end in zip(here.tolist(), starts.tolist(), ends[within].tolist(), strict=True):
                out[at] = str(packed[start:end], "utf-8")
        return out

    def _fit(self, size: int) -> None:
        # A reader may hold the smaller array: what it reads is the same in both.
        full = self._bytes[-1]
        if len(full) < size:
            larger = np.empty(max(size, len(full) * 3 // 2), np.uint8)
            larger[: len(full)] = full
            self._bytes[-1] = larger
