"""One Lance table of a pool: durable appends, and reads that follow its newest version."""

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.fragment import write_fragments
from lance.lance import _Session as Session

from services.pools.errors import StoreUnavailable
from services.pools.place import Site

_log = logging.getLogger(__name__)

_METADATA_CACHE_BYTES: Final = 64 << 20
_INDEX_CACHE_BYTES: Final = 1 << 20
_READ_BUFFER_BYTES: Final = 64 << 20
_OPEN_ATTEMPTS: Final = 10


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows whose files are written and durable, and which no version of the table holds yet."""

    transaction: Any
    base: Any


class Table:
    """A handle on one Lance table. Safe to use from several threads.

    Rows are only ever added, at the end, so that row r of any version is row r of every later one.

    Args:
        site: Where the pool lives.
        name: The table's path in the pool, for instance "items.lance".

    Raises:
        PoolNotFound: If the table is not there.
        StoreUnavailable: If no version of it can be read.
    """

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self._name = name
        self._uri = f"{site.uri}/{name}"
        self._lock = threading.Lock()
        self._session = Session(
            index_cache_size_bytes=_INDEX_CACHE_BYTES, metadata_cache_size_bytes=_METADATA_CACHE_BYTES
        )
        self._durable = 0
        self._dataset = self._open_newest(0)

    @property
    def rows(self) -> int:
        """Rows of the version in hand."""
        return int(self._dataset.count_rows())

    @property
    def version(self) -> int:
        """The version in hand."""
        return int(self._dataset.version)

    @property
    def metadata(self) -> dict[str, str]:
        """What the table was created with."""
        return {key.decode(): value.decode() for key, value in (self._dataset.schema.metadata or {}).items()}

    def refresh(self) -> bool:
        """Takes the newest version in hand. Returns whether it is another one. Costs microseconds when it is not."""
        seen = self._dataset.version
        if self._newest(seen) == seen:
            return False
        with self._lock:
            seen = self._dataset.version
            self._dataset = self._open_newest(seen)
            return bool(self._dataset.version != seen)

    def make_durable(self) -> None:
        """Makes the version in hand survive a loss of power, whoever wrote it. Free when it is known to."""
        version = self.version
        if version > self._durable:
            with _translated(f"syncing {self._name}"):
                self._site.sync_version(self._name, version)
            self._durable = version

    def read(self, start: int, stop: int, columns: Sequence[str], batch_rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """Yields rows start to stop, in order, a batch at a time."""
        if start >= stop:
            return
        with _translated(f"reading {self._name}"):
            yield from self._dataset.scanner(
                columns=list(columns),
                offset=start,
                limit=stop - start,
                batch_size=batch_rows,
                io_buffer_size=_READ_BUFFER_BYTES,
                scan_in_order=True,
            ).to_batches()

    def take(self, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Returns rows by number, in the order asked, repeated ones included."""
        indices = pa.array(rows, pa.uint64())
        try:
            return self._dataset.take(indices, columns=list(columns))
        except (OSError, ValueError, RuntimeError):
            # The version in hand may be so old that its files were removed after a compaction.
            if not self.refresh():
                with _translated(f"reading {self._name}"):
                    raise
        with _translated(f"reading {self._name}"):
            return self._dataset.take(indices, columns=list(columns))

    def stage(self, rows: pa.Table) -> Staged:
        """Writes rows to files and makes those durable; no reader sees them yet."""
        base = self._dataset
        with _translated(f"writing {self._name}"):
            transaction: Any = write_fragments(rows, base, mode="append", return_transaction=True)
            self._site.sync(
                self._name, [file.path for fragment in transaction.operation.fragments for file in fragment.files]
            )
        return Staged(transaction, base)

    def commit(self, staged: Staged) -> None:
        """Makes staged rows a durable part of the newest version."""
        with _translated(f"committing to {self._name}"):
            dataset = lance.LanceDataset.commit(staged.base, staged.transaction)
            self._site.sync_version(self._name, dataset.version)
        with self._lock:
            if dataset.version > self._dataset.version:
                self._dataset = dataset
        self._durable = max(self._durable, dataset.version)

    def _newest(self, seen: int) -> int:
        newest = self._site.newest(self._name, seen)
        if newest is None:
            with _translated(f"opening {self._name}"):
                newest = int(self._dataset.latest_version)
        return newest

    def _open_newest(self, seen: int) -> Any:
        for _ in range(_OPEN_ATTEMPTS):
            newest = self._site.newest(self._name, seen)
            try:
                return self._open(newest)
            except _Unreadable:
                if newest is None:
                    raise
                self._site.quarantine(self._name, newest, self._unreadable)
        raise StoreUnavailable(f"{self._uri} cannot be read: each version that was tried is damaged or vanished")

    def _open(self, version: int | None) -> Any:
        with _translated(f"opening {self._name}"):
            if version is not None and self._site.torn(self._name, version):
                raise _Unreadable(f"{self._uri} has a torn manifest for version {version}")
            try:
                dataset = lance.dataset(self._uri, version=version, session=self._session)
            except (OSError, ValueError, RuntimeError) as error:
                raise _Unreadable(f"{self._uri} cannot be opened: {error}") from error
            return dataset

    def _unreadable(self, version: int) -> bool:
        try:
            self._open(version)
        except _Unreadable:
            return True
        return False


class _Unreadable(StoreUnavailable):
    """A version that is there and cannot be read."""


def create_table(uri: str, schema: pa.Schema) -> None:
    """Makes an empty table at a folder that holds none."""
    with _translated(f"creating {uri}"):
        lance.write_dataset(schema.empty_table(), uri, mode="create")


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Turns what Lance and the disk raise into StoreUnavailable."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise StoreUnavailable(f"{doing} failed: {error}") from error
