"""All pools of a place."""

import contextlib
import threading
from pathlib import Path
from typing import Final

from services.pools.compaction import Compactor
from services.pools.definition import PoolDefinition, check_name, from_json, to_json
from services.pools.errors import PoolNotFound, StoreRepaired, StoreUnavailable
from services.pools.local import LocalPlace
from services.pools.place import Place
from services.pools.pool import Pool
from services.pools.remote import RemotePlace
from services.pools.schema import DEFINITION_KEY, ITEMS, embeddings_path, embeddings_schema, items_schema
from services.pools.table import Table, create_table

_OPEN_ATTEMPTS: Final = 3


class PoolStore:
    """Pools under DATA/pools, shared with other processes. Safe to use from several threads.

    Args:
        uri: DATA: a folder, or the address of an object store such as "s3://bucket/prepal".

    Raises:
        StoreUnavailable: If pools cannot be kept there.
    """

    def __init__(self, uri: str) -> None:
        try:
            self._place = _place(uri)
        except (OSError, ValueError) as error:
            raise StoreUnavailable(f"pools cannot be kept in {uri!r}: {error}") from error
        self._pools: dict[str, Pool] = {}
        self._lock = threading.Lock()
        self._compactor = Compactor()
        self._closed = False

    def names(self) -> list[str]:
        """Returns the names of the pools, sorted.

        Raises:
            StoreUnavailable: If the store cannot be read.
        """
        try:
            return self._place.names()
        except OSError as error:
            raise StoreUnavailable(f"listing pools failed: {error}") from error

    def create(self, definition: PoolDefinition) -> Pool:
        """Creates an empty pool, durably, in one step.

        Raises:
            PoolExists: If there is a pool of that name.
            StoreUnavailable: If the store cannot be written.
        """

        def build(uri: str) -> None:
            # Left by an interrupted create where a folder cannot appear in one step; no item of it can be seen.
            with contextlib.suppress(FileExistsError):
                create_table(f"{uri}/{embeddings_path(definition)}", embeddings_schema(definition.dimension))
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
            if self._closed:
                raise StoreUnavailable("the pool store is closed")
            pool = self._pools.get(name)
            if pool is None or not pool.alive():
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
            self._closed = True
            for name in list(self._pools):
                self._forget(name)
        self._compactor.close()

    def _attach(self, name: str) -> Pool:
        for _ in range(_OPEN_ATTEMPTS):
            site = self._place.attach(name)
            try:
                items = Table(site, ITEMS)
                definition = from_json(items.metadata[DEFINITION_KEY])
                embeddings = Table(site, embeddings_path(definition))
                return Pool(definition, site, items, embeddings, self._compactor)
            except StoreRepaired:
                continue
            except (KeyError, ValueError) as error:
                raise StoreUnavailable(f"pool {name!r} has no definition that can be read: {error}") from error
            except StoreUnavailable:
                if site.alive():
                    raise
                raise PoolNotFound(name) from None
        raise StoreUnavailable(f"pool {name!r} is damaged, again after each repair; check the disk")

    def _forget(self, name: str) -> None:
        pool = self._pools.pop(name, None)
        if pool is not None:
            pool.close()


def _place(uri: str) -> Place:
    """Returns the place that DATA names."""
    if "://" not in uri:
        return LocalPlace(Path(uri) / "pools")
    if uri.startswith("file://"):
        return LocalPlace(Path(uri.removeprefix("file://")) / "pools")
    return RemotePlace(f"{uri.rstrip('/')}/pools")
