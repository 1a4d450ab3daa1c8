"""One Lance table of a pool: durable appends, and reads that follow its newest version."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.fragment import write_fragments
from lance.lance import _Session as Session
from lance.optimize import Compaction

from services.pools.errors import StoreUnavailable
from services.pools.faults import TableExists, translated
from services.pools.place import Site

_METADATA_CACHE_BYTES: Final = 64 << 20
_INDEX_CACHE_BYTES: Final = 1 << 20
_READ_BUFFER_BYTES: Final = 64 << 20
_OPEN_ATTEMPTS: Final = 10
_PREEMPTED: Final = "preempted by concurrent transaction Rewrite"


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows whose files are written and durable, and which no version of the table holds yet."""

    transaction: Any
    base: Any
    rows: int


class Table:
    """A handle on one Lance table. Safe to use from several threads.

    Rows are only ever added, at the end, so that row r of any version is row r of every later one.

    Args:
        site: Where the pool lives.
        name: The table's path in the pool, for instance "items.lance".

    Raises:
        PoolNotFound: If the table is not there.
        StoreRepaired: If its newest version was damaged and is put aside.
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

    def fragments(self) -> list[int]:
        """Returns the rows of each fragment of the version in hand, in order."""
        return [int(fragment.physical_rows) for fragment in self._dataset.get_fragments()]

    def refresh(self) -> bool:
        """Takes the newest version in hand. Returns whether it is another one. Costs microseconds when it is not.

        Raises:
            PoolNotFound: If the table is gone.
            StoreRepaired: If the newest version was damaged and is put aside.
            StoreUnavailable: If the table cannot be read.
        """
        seen = self.version
        if self._newest(seen) == seen:
            return False
        with self._lock:
            seen = self.version
            dataset = self._open_newest(seen)
            if dataset.version == seen:
                return False
            self._dataset = dataset
            return True

    def make_durable(self) -> None:
        """Makes the version in hand survive a loss of power, whoever wrote it. Free when it is known to."""
        version = self.version
        if version > self._durable:
            with translated(f"syncing {self._name}"):
                self._site.sync_version(self._name, version)
            self._durable = max(self._durable, version)

    def scan(self, start: int, stop: int, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Yields rows start to stop, in order, a batch at a time."""
        with translated(f"reading {self._name}"):
            yield from self._dataset.scanner(
                columns=list(columns),
                offset=start,
                limit=stop - start,
                batch_size=batch_rows,
                io_buffer_size=_READ_BUFFER_BYTES,
                scan_in_order=True,
            ).to_batches()

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Returns rows start to stop, in order."""
        return self._retried(lambda: pa.Table.from_batches(list(self.scan(start, stop, columns, batch_rows=65_536))))

    def take(self, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Returns rows by number, in the order asked, repeated ones included."""
        indices = pa.array(rows, pa.uint64())

        def take() -> pa.Table:
            with translated(f"reading {self._name}"):
                return self._dataset.take(indices, columns=list(columns))

        return self._retried(take)

    def stage(self, rows: pa.Table) -> Staged:
        """Writes rows to files and makes those durable; no reader sees them yet."""
        base = self._dataset
        with translated(f"writing {self._name}"):
            transaction: Any = write_fragments(rows, base, mode="append", return_transaction=True)
            self._site.sync(self._name, _files(transaction.operation.fragments))
        return Staged(transaction, base, rows.num_rows)

    def commit(self, staged: Staged) -> int:
        """Makes staged rows a durable part of the newest version. Returns the number of the first of them."""
        with translated(f"committing to {self._name}"):
            dataset = lance.LanceDataset.commit(staged.base, staged.transaction)
        self._committed(dataset)
        return int(dataset.count_rows()) - staged.rows

    def compact(self, target_rows: int) -> None:
        """Merges neighbouring fragments of fewer rows than `target_rows`, durably. Rows keep their numbers.

        Does nothing when another process was quicker to rewrite the same rows.
        """
        dataset = self._dataset
        with translated(f"compacting {self._name}"):
            plan = Compaction.plan(dataset, {"target_rows_per_fragment": target_rows, "num_threads": 1})
            rewritten: list[Any] = [task.execute(dataset) for task in plan.tasks]
            # Before the commit: once a version holds the new files, the old ones may be removed.
            self._site.sync(self._name, [file for one in rewritten for file in _files(one.new_fragments)])
            groups = [_in_place(one.original_fragments, one.new_fragments) for one in rewritten]
            if groups := [group for group in groups if group is not None]:
                rewrite = lance.LanceOperation.Rewrite(groups, [])
                try:
                    dataset = lance.LanceDataset.commit(dataset, rewrite, read_version=dataset.version)
                except OSError as error:
                    if _PREEMPTED in str(error):
                        return
                    raise
        self._committed(dataset)

    def forget_versions(self, older_than: timedelta) -> None:
        """Removes old versions, and files that only they hold."""
        with translated(f"removing old versions of {self._name}"):
            self._dataset.cleanup_old_versions(older_than)
            self._site.sweep(self._name)

    def _committed(self, dataset: Any) -> None:
        with translated(f"syncing {self._name}"):
            self._site.sync_version(self._name, dataset.version)
        with self._lock:
            self._durable = max(self._durable, dataset.version)
            if dataset.version > self._dataset.version:
                self._dataset = dataset

    def _retried(self, read: Any) -> Any:
        """Reads again from the newest version if the one in hand is so old that its files were removed."""
        try:
            return read()
        except StoreUnavailable:
            if not self.refresh():
                raise
        return read()

    def _newest(self, seen: int) -> int:
        newest = self._site.newest(self._name, seen)
        if newest is None:
            with translated(f"opening {self._name}"):
                newest = int(self._dataset.latest_version)
        return newest

    def _open_newest(self, seen: int) -> Any:
        for _ in range(_OPEN_ATTEMPTS):
            newest = self._site.newest(self._name, seen)
            try:
                return self._open(newest)
            except StoreUnavailable:
                if newest is None:
                    raise
                # It may have vanished in this moment, being an old version, or with the whole pool.
                if self._site.newest(self._name, newest) == newest:
                    self._site.quarantine(self._name, self._readable)
        raise StoreUnavailable(f"{self._uri} changed under every attempt to open it; try again")

    def _open(self, version: int | None) -> Any:
        with translated(f"opening {self._name}"):
            if version is not None and self._site.torn(self._name, version):
                raise StoreUnavailable(f"version {version} of {self._uri} is torn")
            return lance.dataset(self._uri, version=version, session=self._session)

    def _readable(self, version: int) -> bool:
        try:
            self._open(version)
        except StoreUnavailable:
            return False
        return True


def create_table(uri: str, schema: pa.Schema) -> None:
    """Makes an empty table where there is none.

    Raises:
        FileExistsError: If there is one.
        StoreUnavailable: If it cannot be made.
    """
    with translated(f"creating {uri}"):
        try:
            lance.write_dataset(schema.empty_table(), uri, mode="create")
        except OSError as error:
            if "already exists" in str(error):
                raise TableExists(uri) from error
            raise


def _in_place(old: Sequence[Any], new: Sequence[Any]) -> Any:
    """Returns the rewriting of neighbouring fragments, None when it merges nothing.

    A table's rows are in the order of its fragments' ids. `Compaction.commit` gives new fragments new ids, which puts
    their rows behind those that somebody appends meanwhile. With ids of the fragments that they replace, rows stay
    where they are. The first id is left out, because Lance takes 0 for none.
    """
    if len(new) >= len(old):
        return None
    for fragment, replaced in zip(new, old[-len(new) :], strict=True):
        fragment.id = replaced.id
    return lance.LanceOperation.RewriteGroup(old, new)


def _files(fragments: Sequence[Any]) -> list[str]:
    return [file.path for fragment in fragments for file in fragment.files]
