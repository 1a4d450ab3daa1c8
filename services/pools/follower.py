"""Follows a pool's two tables as they grow, in any process, and says which rows belong together."""

import logging
import threading
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.pools.errors import StoreUnavailable
from services.pools.index import Index
from services.pools.packed import BLOCK_ROWS, Column
from services.pools.schema import unpack_digests, unpack_embeddings
from services.pools.table import Table

_log = logging.getLogger(__name__)

_SCAN_ROWS: Final = 64
_SCAN_BATCH_ROWS: Final = 8_192


@dataclass(frozen=True, slots=True)
class _Commit:
    """The rows that one commit left in the embeddings' table."""

    first: int
    ids: pa.ChunkedArray


class Follower:
    """The rows of a pool, read once each and kept in memory. Safe to use from several threads.

    An item is there when its row is in the items' table and its embedding, of the same commit, in the embeddings'
    table. The second is written first, so every item seen has one. Of several items with one id the first is the item.
    Both rules depend only on rows that never change, so all processes number the items alike.

    Args:
        items: The items' table.
        embeddings: The embeddings' table.
        dimension: D.
    """

    def __init__(self, items: Table, embeddings: Table, dimension: int) -> None:
        self.index = Index()
        self._items = items
        self._embeddings = embeddings
        self._vectors = Column(np.float16, (dimension,))
        self._items_read = 0
        self._embeddings_read = 0
        # Commits whose embeddings were seen and whose items were not: about to come, or left by a writer that died.
        self._waiting: dict[int, _Commit] = {}
        self._last: dict[Table, str] = {}
        self._follow_lock = threading.Lock()
        self._load_lock = threading.Lock()
        self._state = (0, 0)

    def follow(self) -> tuple[int, int]:
        """Reads what is new. Returns (rows of the items' table read, items). Costs microseconds when nothing is."""
        if not self._items.refresh() and self._items_read == self._items.rows:
            return self._state
        with self._follow_lock:
            rows = self._items.rows
            if rows > self._items_read:
                # The items' version was taken first: the embeddings' newest has all that these items need.
                self._embeddings.refresh()
                self._read_embeddings()
                self._read_items(rows)
                self._state = (rows, len(self.index))
            return self._state

    def absorb(self, ids: list[str], digests: npt.NDArray[np.uint8], items_first: int, embeddings_first: int) -> None:
        """Takes rows that this process has just committed, at these places, if all rows before them were read.

        Otherwise `follow` reads them back, with what other processes committed before them.
        """
        with self._follow_lock:
            if (self._items_read, self._embeddings_read) != (items_first, embeddings_first):
                return
            self._index_new(ids, digests, items_first, embeddings_first + np.arange(len(ids)))
            self._items_read += len(ids)
            self._embeddings_read += len(ids)
            self._last[self._items] = self._last[self._embeddings] = ids[-1]
            self._state = (self._items_read, len(self.index))

    def vectors(self, items: int) -> Column[np.float16]:
        """Returns the embeddings by row, with at least the first `items` read, shape (N, D)."""
        if len(self._vectors) < items:
            with self._load_lock:
                while (done := len(self._vectors)) < items:
                    try:
                        self._load(items)
                    except StoreUnavailable:
                        # The version in hand may be so old that its files were removed: the newest has the same rows.
                        if not self._embeddings.refresh() and len(self._vectors) == done:
                            raise
        return self._vectors

    def read_vectors(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float16]:
        """Returns the embeddings of rows, shape (n, D), from memory if they are there, else from the store."""
        if not len(rows) or rows.max() < len(self._vectors):
            return self._vectors.gather(rows)
        table = self._embeddings.take(self.index.embedding_rows(rows), ["embedding"])
        return np.concatenate([unpack_embeddings(batch) for batch in table.to_batches()])

    def _next(self, source: Table, start: int, stop: int, columns: list[str]) -> pa.Table:
        """Reads rows start to stop, and the one before them again: it must be where it was."""
        table = source.read(max(start - 1, 0), stop, columns)
        if not start:
            return table
        if table["item_id"][0].as_py() != self._last[source]:
            raise StoreUnavailable("the pool is damaged: its rows are not where they were; restore it from a copy")
        return table.slice(1)

    def _read_embeddings(self) -> None:
        start, stop = self._embeddings_read, self._embeddings.rows
        if start == stop:
            return
        table = self._next(self._embeddings, start, stop, ["item_id", "commit"])
        for commit, first, count in _commits(table):
            self._waiting[commit] = _Commit(start + first, table["item_id"].slice(first, count))
        self._last[self._embeddings] = table["item_id"][-1].as_py()
        self._embeddings_read = stop

    def _read_items(self, stop: int) -> None:
        start = self._items_read
        table = self._next(self._items, start, stop, ["item_id", "digest", "commit"])
        ids, digests = table["item_id"], unpack_digests(table["digest"])
        places = np.full(table.num_rows, -1, np.int64)
        commits = _commits(table)
        for commit, first, count in commits:
            there = self._waiting.get(commit)
            if there is not None:
                places[first : first + count] = _places(ids.slice(first, count), there)
        if lost := int((places < 0).sum()):
            _log.error("%d items of the pool have no embedding and are left out; add them again", lost)
        for first in range(0, table.num_rows, BLOCK_ROWS):
            part = slice(first, first + BLOCK_ROWS)
            self._index_new(ids.slice(first, BLOCK_ROWS).to_pylist(), digests[part], start + first, places[part])
        self._last[self._items] = ids[-1].as_py()
        self._items_read = stop
        for commit, _, _ in commits:
            self._waiting.pop(commit, None)
        for commit, left in self._waiting.items():
            # A slice would keep all that was read with it in memory.
            self._waiting[commit] = _Commit(left.first, left.ids.take(np.arange(len(left.ids))))

    def _index_new(
        self, ids: list[str], digests: npt.NDArray[np.uint8], first: int, places: npt.NDArray[np.int64]
    ) -> None:
        new = (self.index.rows_of(ids) < 0) & (places >= 0)
        if len(set(ids)) < len(ids):
            seen: set[str] = set()
            for number in np.flatnonzero(new).tolist():
                new[number] = ids[number] not in seen
                seen.add(ids[number])
        numbers = np.flatnonzero(new)
        kept = ids if len(numbers) == len(ids) else [ids[number] for number in numbers.tolist()]
        self.index.extend(kept, digests[numbers], first + numbers, places[numbers])

    def _load(self, items: int) -> None:
        if (done := len(self._vectors)) >= items:
            return
        places = self.index.embedding_rows(np.arange(done, items))
        # Runs of neighbours are scanned; only what writers interleaved in small pieces is picked row by row.
        edges = np.flatnonzero(np.diff(places) != 1) + 1
        scattered: list[npt.NDArray[np.int64]] = []
        for run in np.split(places, edges):
            if len(run) >= _SCAN_ROWS:
                self._pick(scattered)
                scattered = []
                for batch in self._embeddings.scan(int(run[0]), int(run[-1]) + 1, ["embedding"], _SCAN_BATCH_ROWS):
                    self._vectors.extend(unpack_embeddings(batch))
            else:
                scattered.append(run)
        self._pick(scattered)

    def _pick(self, runs: list[npt.NDArray[np.int64]]) -> None:
        if runs:
            for batch in self._embeddings.take(np.concatenate(runs), ["embedding"]).to_batches():
                self._vectors.extend(unpack_embeddings(batch))


def _commits(table: pa.Table) -> list[tuple[int, int, int]]:
    """Returns (commit, first row, rows) for each stretch of rows of one commit."""
    commits = table["commit"].to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(commits)) + 1).tolist(), len(commits)]
    return [(int(commits[first]), first, stop - first) for first, stop in pairwise(edges) if stop > first]


def _places(ids: pa.ChunkedArray, there: _Commit) -> npt.NDArray[np.int64]:
    """Returns the rows of the embeddings' table that belong to ids, -1 where there is none."""
    if ids.equals(there.ids):
        return np.arange(there.first, there.first + len(ids))
    rows = {item_id: there.first + number for number, item_id in enumerate(there.ids.to_pylist())}
    return np.array([rows.get(item_id, -1) for item_id in ids.to_pylist()], np.int64)
