"""Pools in memory, each of which can be let go."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.pools import Pool, PoolStore


class LoadedPools:
    """Opens pools. A `PoolStore` keeps every pool it opened, so each pool has one of its own, which can be closed.

    Safe to use from several threads.

    Args:
        store: makes a store over the place where the pools are.
    """

    def __init__(self, store: Callable[[], PoolStore]) -> None:
        self._store = store
        self._stores: dict[str, PoolStore] = {}
        self._lock = threading.Lock()

    def open(self, name: str) -> Pool:
        """Returns a pool. Raises PoolNotFound or the pools' StoreUnavailable."""
        with self._lock:
            store = self._stores.get(name)
        made = store or self._store()
        try:
            pool = made.open(name)
        except Exception:
            if store is None:
                made.close()
            raise
        if store is None:
            with self._lock:
                kept = self._stores.setdefault(name, made)
            if kept is not made:
                made.close()
                return kept.open(name)
        return pool

    def release(self, name: str) -> None:
        """Lets go of a pool's memory; it is loaded again when it is opened again."""
        with self._lock:
            store = self._stores.pop(name, None)
        if store is not None:
            store.close()

    def close(self) -> None:
        """Lets go of all pools."""
        for name in list(self._stores):
            self.release(name)
