"""One pool: appending to it, looking things up in it, and following it as it grows."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.pools.committer import Addition, Committer
from services.pools.definition import PoolDefinition, to_json
from services.pools.errors import PoolNotFound, StoreUnavailable
from services.pools.follower import Follower
from services.pools.item import Item
from services.pools.place import Site
from services.pools.schema import items_schema, pack_embeddings, pack_items, stamp_items, unpack_items
from services.pools.snapshot import Snapshot
from services.pools.table import Table

_ITEM_COLUMNS = ("item_id", "text", "text_pair", "metadata")
_EXPONENT = np.uint16(0x7C00)


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

    def __init__(self, definition: PoolDefinition, site: Site, items: Table, embeddings: Table) -> None:
        self.definition = definition
        self._site = site
        self._items = items
        self._embeddings = embeddings
        self._follower = Follower(items, embeddings, definition.dimension)
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
        self._check(items, embeddings)
        if items:
            self._open_committer().add(Addition(pack_items(items), embeddings))
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
            vectors=self._follower.vectors(items),
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
        """Commits what callers wait for, and lets go of the pool."""
        with self._lock:
            self._closed = True
            committer = self._committer
        if committer is not None:
            committer.close()
        self._site.close()

    def _follow(self) -> tuple[int, int]:
        if not self._site.alive():
            raise PoolNotFound(self.definition.name)
        return self._follower.follow()

    def _make_durable(self) -> None:
        self._embeddings.make_durable()
        self._items.make_durable()

    def _read_items(self, rows: npt.NDArray[np.int64]) -> list[Item]:
        if not self._site.alive():
            raise PoolNotFound(self.definition.name)
        if not len(rows):
            return []
        items = unpack_items(self._items.take(self._follower.index.item_rows(rows), _ITEM_COLUMNS))
        if [item.item_id for item in items] != self._follower.index.ids_of(rows):
            raise StoreUnavailable(f"pool {self.definition.name!r} is damaged: its rows are not where they were")
        return items

    def _check(self, items: Sequence[Item], embeddings: npt.NDArray[np.float16]) -> None:
        shape = (len(items), self.definition.dimension)
        if embeddings.dtype != np.float16 or embeddings.shape != shape:
            raise ValueError(
                f"embeddings must be float16 of shape {shape}, got {embeddings.dtype} of shape {embeddings.shape}"
            )
        # All bits of the exponent set: an infinity or NaN.
        infinite = (np.ascontiguousarray(embeddings).view(np.uint16) & _EXPONENT) == _EXPONENT
        if infinite.any():
            row = int(np.flatnonzero(infinite.any(axis=1))[0])
            raise ValueError(f"embeddings must be finite, got {items[row].item_id!r} with a NaN or an infinity")
        if not all(item.item_id for item in items):
            raise ValueError("item_id must not be empty")

    def _open_committer(self) -> Committer:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the pool store is closed")
            if self._committer is None:
                self._committer = Committer(self.definition.name, self._commit)
            return self._committer

    def _commit(self, group: list[Addition], number: int) -> None:
        with self._site.shared():
            self._follow()
            items, embeddings = self._new(group)
            if items.num_rows < sum(len(addition.embeddings) for addition in group):
                # The callers are told that their items are durable, so those that another process added must be.
                self._make_durable()
            if not items.num_rows:
                return
            vectors = self._embeddings.stage(pack_embeddings(items["item_id"], embeddings, number))
            texts = self._items.stage(stamp_items(items, number, self._schema))
            # Embeddings first: an embedding without its item is nothing, an item without its embedding would be half.
            self._embeddings.commit(vectors)
            self._items.commit(texts)
            self._follow()

    def _new(self, group: list[Addition]) -> tuple[pa.Table, npt.NDArray[np.float16]]:
        """Returns the group's items and embeddings without those that are known or come again."""
        items = pa.concat_tables([addition.items for addition in group])
        embeddings = np.concatenate([addition.embeddings for addition in group])
        ids = items["item_id"].to_pylist()
        first = {item_id: number for number, item_id in reversed(list(enumerate(ids)))}
        known = self._follower.index.rows_of(ids) >= 0
        kept = [number for number, item_id in enumerate(ids) if not known[number] and first[item_id] == number]
        if len(kept) == len(ids):
            return items, embeddings
        return items.take(pa.array(kept, pa.int64())), embeddings[kept]
