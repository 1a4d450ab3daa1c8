"""All pools of a place."""

import threading
from pathlib import Path

from services.pools.definition import PoolDefinition, check_name, from_json, to_json
from services.pools.errors import PoolNotFound, StoreUnavailable
from services.pools.local import ITEMS, LocalPlace
from services.pools.place import Place
from services.pools.pool import Pool
from services.pools.schema import DEFINITION_KEY, embeddings_schema, items_schema
from services.pools.table import Table, create_table


class PoolStore:
    """Pools under DATA/pools, shared with other processes. Safe to use from several threads.

    Args:
        uri: DATA: a folder, or the address of an object store such as "s3://bucket/prepal".
    """

    def __init__(self, uri: str) -> None:
        self._place: Place = LocalPlace(Path(uri) / "pools")
        self._pools: dict[str, Pool] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Returns the names of the pools, sorted."""
        return self._place.names()

    def create(self, definition: PoolDefinition) -> Pool:
        """Creates an empty pool, durably, in one step.

        Raises:
            PoolExists: If there is a pool of that name.
            StoreUnavailable: If the store cannot be written.
        """

        def build(uri: str) -> None:
            create_table(f"{uri}/{_embeddings(definition)}", embeddings_schema(definition.dimension))
            # Last: where a folder cannot appear in one step, it is a pool once it has items.
            create_table(f"{uri}/{ITEMS}", items_schema(to_json(definition)))

        try:
            self._place.create(definition.name, build)
        except OSError as error:
            raise StoreUnavailable(f"creating pool {definition.name!r} failed: {error}") from error
        return self.open(definition.name)

    def open(self, name: str) -> Pool:
        """Returns a handle on a pool; the same one as long as the pool is the same. Costs microseconds then.

        Raises:
            ValueError: If `name` is no name of a pool.
            PoolNotFound: If there is no such pool.
            StoreUnavailable: If the store cannot be read.
        """
        check_name("name", name)
        pool = self._pools.get(name)
        if pool is not None and pool.alive():
            return pool
        with self._lock:
            pool = self._pools.get(name)
            if pool is not None and pool.alive():
                return pool
            self._forget(name)
            pool = self._pools[name] = self._attach(name)
            return pool

    def delete(self, name: str) -> bool:
        """Deletes a pool. Returns whether there was one, so that repeating it is safe.

        Raises:
            ValueError: If `name` is no name of a pool.
            StoreUnavailable: If the store cannot be written.
        """
        check_name("name", name)
        try:
            deleted = self._place.delete(name)
        except OSError as error:
            raise StoreUnavailable(f"deleting pool {name!r} failed: {error}") from error
        with self._lock:
            pool = self._pools.get(name)
            if pool is not None and not pool.alive():
                self._forget(name)
        return deleted

    def close(self) -> None:
        """Commits what callers of append wait for, and lets go of all pools."""
        with self._lock:
            for name in list(self._pools):
                self._forget(name)

    def _attach(self, name: str) -> Pool:
        site = self._place.attach(name)
        try:
            items = Table(site, ITEMS)
            definition = from_json(items.metadata[DEFINITION_KEY])
            return Pool(definition, site, items, Table(site, _embeddings(definition)))
        except (KeyError, ValueError) as error:
            site.close()
            raise StoreUnavailable(f"pool {name!r} has no definition that can be read: {error}") from error
        except (PoolNotFound, StoreUnavailable):
            site.close()
            raise

    def _forget(self, name: str) -> None:
        pool = self._pools.pop(name, None)
        if pool is not None:
            pool.close()


def _embeddings(definition: PoolDefinition) -> str:
    return f"embeddings/{definition.fingerprint}.lance"
