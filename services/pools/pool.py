"""One pool: appending to it, looking things up in it, and following it as it grows."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.pools.addition import Addition, joined, pack
from services.pools.committer import Committer
from services.pools.compaction import BUSY, IDLE, Compactor
from services.pools.definition import PoolDefinition, to_json
from services.pools.errors import PoolNotFound, StoreRepaired, StoreUnavailable
from services.pools.follower import Follower
from services.pools.item import Item, text_digest
from services.pools.packed import Column
from services.pools.place import Site
from services.pools.schema import TEXT_COLUMNS, items_schema, pack_embeddings, stamp_items, unpack_digests, unpack_items
from services.pools.snapshot import Snapshot
from services.pools.table import Table


@dataclass(frozen=True, slots=True)
class PoolStats:
    """How large a pool is.

    Attributes:
        items: Items in the pool.
        version: Grows with every durable change of the pool, and with nothing else; 0 for a pool without items.
    """

    items: int
    version: int


class Pool:
    """A handle on one pool, safe to use from several threads.

    Each call sees what other processes have added. Once the pool is deleted every call raises PoolNotFound, also when
    there is a new pool of that name: `PoolStore.open` returns a handle on that one.

    Attributes:
        definition: What the pool is.
    """

    def __init__(
        self, definition: PoolDefinition, site: Site, items: Table, embeddings: Table, compactor: Compactor
    ) -> None:
        self.definition = definition
        self._site = site
        self._items = items
        self._embeddings = embeddings
        self._follower = Follower(items, embeddings, definition.dimension)
        self._compactor = compactor
        self._schema = items_schema(to_json(definition))
        self._lock = threading.Lock()
        self._committer: Committer | None = None
        self._snapshot: Snapshot | None = None
        self._closed = False

    def stats(self) -> PoolStats:
        """Returns the pool's size now. Costs microseconds when nothing changed; the first call reads all ids.

        Raises:
            PoolNotFound: If the pool was deleted.
            StoreUnavailable: If the store cannot be read.
        """
        version, items = self._follow()
        return PoolStats(items, version)

    def known(self, item_ids: Sequence[str]) -> dict[str, bytes]:
        """Returns, for the ids that are in the pool, the digest of the item's text (see `text_digest`).

        What it returns is durable, whichever process added it. Costs about a microsecond an id.

        Raises:
            PoolNotFound: If the pool was deleted.
            StoreUnavailable: If the store cannot be read.
        """
        self._follow()
        rows = self._follower.index.rows_of(item_ids)
        found = np.flatnonzero(rows >= 0)
        if not len(found):
            return {}
        self._make_durable()
        digests = self._follower.index.digests_of(rows[found])
        return {item_ids[number]: digest.tobytes() for number, digest in zip(found.tolist(), digests, strict=True)}

    def append(self, items: Sequence[Item], embeddings: npt.NDArray[np.float16]) -> PoolStats:
        """Adds items with their embeddings; durable when it returns. Callers at the same time share a commit.

        An item whose id is in the pool already, or comes twice, is left out: the first one stays as it is. A caller
        that races with others for an id learns from `known` whose text it became.

        Args:
            items: n items.
            embeddings: float16, shape (n, D), finite.

        Raises:
            ValueError: If an id or text is no Unicode text or an id is empty, or the embeddings are of another shape or
                dtype, or not finite. Nothing is added.
            PoolNotFound: If the pool was deleted.
            StoreUnavailable: If the store cannot be written. Whether the items were added is not known; appending them
                again is safe.
        """
        addition = pack(items, embeddings, self.definition.dimension)
        with self._present():
            if items:
                self._open_committer().add(addition)
        return self.stats()

    def take(self, item_ids: Sequence[str]) -> list[Item | None]:
        """Reads items from the store, in the order asked; None for an id that is not in the pool.

        Raises:
            PoolNotFound: If the pool was deleted.
            StoreUnavailable: If the store cannot be read.
        """
        self._follow()
        rows = self._follower.index.rows_of(item_ids)
        found = iter(self._read_items(rows[rows >= 0]))
        return [next(found) if row >= 0 else None for row in rows.tolist()]

    def vectors(self, item_ids: Sequence[str]) -> npt.NDArray[np.float16]:
        """Returns the embeddings of items, shape (n, D), in the order asked. Does not load the pool into memory.

        Raises:
            KeyError: If an id is not in the pool.
            PoolNotFound: If the pool was deleted.
            StoreUnavailable: If the store cannot be read.
        """
        self._follow()
        rows = self._follower.index.rows_of(item_ids)
        if len(missing := np.flatnonzero(rows < 0)):
            raise KeyError(item_ids[int(missing[0])])
        with self._present():
            return self._follower.read_vectors(rows)

    def snapshot(self) -> Snapshot:
        """Returns the pool as it is now, reading only embeddings that no earlier snapshot read.

        Costs microseconds when nothing changed; the first call reads the pool into memory.

        Raises:
            PoolNotFound: If the pool was deleted.
            StoreUnavailable: If the store cannot be read.
        """
        version, items = self._follow()
        snapshot = self._snapshot
        if snapshot is not None and snapshot.version >= version:
            return snapshot
        snapshot = Snapshot(
            version=version,
            dimension=self.definition.dimension,
            incarnation=self.definition.incarnation,
            items=items,
            index=self._follower.index,
            vectors=self._load(items),
            read_items=self._read_items,
        )
        with self._lock:
            if self._snapshot is None or self._snapshot.version < version:
                self._snapshot = snapshot
        return snapshot

    def alive(self) -> bool:
        """Tells whether the pool of this handle is still there."""
        return self._site.alive()

    def close(self) -> None:
        """Commits what callers wait for, and takes nothing more."""
        with self._lock:
            self._closed = True
            committer = self._committer
        if committer is not None:
            committer.close()

    def _follow(self) -> tuple[int, int]:
        with self._present():
            return self._follower.follow()

    @contextmanager
    def _present(self) -> Iterator[None]:
        """Raises PoolNotFound when the pool is deleted, before or meanwhile."""
        if not self._site.alive():
            raise PoolNotFound(self.definition.name)
        try:
            yield
        except StoreRepaired:
            raise
        except StoreUnavailable:
            if not self._site.alive():
                raise PoolNotFound(self.definition.name) from None
            raise

    def _load(self, items: int) -> Column[np.float16]:
        with self._present():
            return self._follower.vectors(items)

    def _make_durable(self) -> None:
        self._embeddings.make_durable()
        self._items.make_durable()

    def _read_items(self, rows: npt.NDArray[np.int64]) -> list[Item]:
        index = self._follower.index
        with self._present():
            if not len(rows):
                return []
            texts = self._items.take(index.item_rows(rows), TEXT_COLUMNS)
        items = unpack_items(index.ids_of(rows), texts)
        digests = b"".join(text_digest(item.text, item.text_pair) for item in items)
        if digests != index.digests_of(rows).tobytes():
            raise StoreUnavailable(f"pool {self.definition.name!r} is damaged: its texts are not what they were")
        return items

    def _open_committer(self) -> Committer:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the pool store is closed")
            if self._committer is None:
                self._committer = Committer(self.definition.name, self._commit, lambda: self._tidy(IDLE))
            return self._committer

    def _commit(self, group: list[Addition], number: int) -> None:
        with self._present(), self._site.shared():
            self._follow()
            items, embeddings = joined(group, self._follower.index)
            if items.num_rows < sum(len(addition.embeddings) for addition in group):
                # The callers are told that their items are durable, so those that another process added must be.
                self._make_durable()
            if not items.num_rows:
                return
            vectors = self._embeddings.stage(pack_embeddings(items["item_id"], embeddings, number))
            texts = self._items.stage(stamp_items(items, number, self._schema))
            # Embeddings first: an embedding without its item is nothing, an item without its embedding would be half.
            embeddings_first = self._embeddings.commit(vectors)
            items_first = self._items.commit(texts)
            self._follower.absorb(
                items["item_id"].to_pylist(), unpack_digests(items["digest"]), items_first, embeddings_first
            )
        self._tidy(BUSY)

    def _tidy(self, limits: tuple[int, int]) -> None:
        for table in (self._embeddings, self._items):
            self._compactor.consider(self._site, table, limits)
