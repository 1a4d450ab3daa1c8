"""Which items a pool has: from an id to its row, and what is known of each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.pools.item import DIGEST_BYTES
from services.pools.packed import Column, Strings

_NONE: Final = -1


@dataclass(frozen=True, slots=True)
class _Run:
    """Hashes of ids in order, and the rows of those ids."""

    hashes: npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint32]


class Index:
    """The ids of a pool in order of row, with a digest and two places in the store each.

    Takes 40 bytes an item beside the id's own UTF-8: 16 of digest, 12 of hash and row, 8 of places, 4 of the id's end.
    Ids are found through sorted runs of 64-bit hashes, merged like the runs of a log-structured tree, so that
    appending costs O(log N) an item and a look-up a few binary searches; an id found is compared whole, so that
    two ids with one hash are told apart. The hash is Python's own of a string, keyed at random in each process.

    One thread appends at a time; any number read.
    """

    def __init__(self) -> None:
        self._ids = Strings()
        self._digests = Column(np.uint8, (DIGEST_BYTES,))
        self._item_rows = Column(np.uint32)
        self._embedding_rows = Column(np.uint32)
        self._runs: tuple[_Run, ...] = ()

    def __len__(self) -> int:
        return len(self._embedding_rows)

    def extend(
        self,
        ids: Sequence[str],
        digests: npt.NDArray[np.uint8],
        item_rows: npt.NDArray[np.integer],
        embedding_rows: npt.NDArray[np.integer],
    ) -> None:
        """Appends items whose ids are new and differ from one another.

        Args:
            ids: n ids.
            digests: Shape (n, 16).
            item_rows: Rows of the items' table, shape (n,).
            embedding_rows: Rows of the embeddings' table, shape (n,).
        """
        if not ids:
            return
        start = len(self)
        hashes = _hashes(ids)
        order = np.argsort(hashes, kind="stable")
        self._ids.extend(ids)
        self._digests.extend(digests)
        self._item_rows.extend(item_rows.astype(np.uint32))
        self._embedding_rows.extend(embedding_rows.astype(np.uint32))
        self._runs = _merged((*self._runs, _Run(hashes[order], (start + order).astype(np.uint32))))

    def rows_of(self, ids: Sequence[str], within: int | None = None) -> npt.NDArray[np.int64]:
        """Returns the rows of ids, shape (n,), -1 for an id that is not among the first `within` rows."""
        found = np.full(len(ids), _NONE, np.int64)
        within = len(self) if within is None else within
        if not within or not len(ids):
            return found
        hashes = _hashes(ids)
        order = np.argsort(hashes)
        wanted = hashes[order]
        for run in self._runs:
            at = np.searchsorted(run.hashes, wanted)
            at[at == len(run.hashes)] = 0
            alike = np.flatnonzero(run.hashes[at] == wanted)
            numbers, rows = order[alike], run.rows[at[alike]].astype(np.int64)
            stored = self._ids.decode(rows)
            for position, (number, there) in enumerate(zip(numbers.tolist(), stored, strict=True)):
                if ids[number] != there:
                    rows[position] = self._beside(run, int(at[alike[position]]), ids[number])
            inside = (rows != _NONE) & (rows < within)
            found[numbers[inside]] = rows[inside]
        return found

    def ids_of(self, rows: npt.NDArray[np.int64]) -> list[str]:
        """Returns the ids of rows that are there."""
        return self._ids.decode(rows)

    def digests_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Returns digests, shape (n, 16)."""
        return self._digests.gather(rows)

    def item_rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns where rows lie in the items' table, shape (n,)."""
        return self._item_rows.gather(rows).astype(np.int64)

    def embedding_rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns where rows lie in the embeddings' table, shape (n,)."""
        return self._embedding_rows.gather(rows).astype(np.int64)

    def _beside(self, run: _Run, at: int, item_id: str) -> int:
        """Returns the row of an id among all that share the hash at a place, -1 if it is none of them."""
        rows = run.rows[at : np.searchsorted(run.hashes, run.hashes[at], side="right")].astype(np.int64)
        matching = [row for row, there in zip(rows.tolist(), self._ids.decode(rows), strict=True) if there == item_id]
        return matching[0] if matching else _NONE


def _hashes(ids: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.fromiter(map(hash, ids), np.int64, len(ids))


def _merged(runs: tuple[_Run, ...]) -> tuple[_Run, ...]:
    """Merges the last runs until each is longer than the one after it: there are at most log2(N) of them."""
    while len(runs) > 1 and len(runs[-2].hashes) <= len(runs[-1].hashes):
        *rest, first, second = runs
        hashes = np.concatenate([first.hashes, second.hashes])
        order = np.argsort(hashes, kind="stable")
        runs = (*rest, _Run(hashes[order], np.concatenate([first.rows, second.rows])[order]))
    return runs
