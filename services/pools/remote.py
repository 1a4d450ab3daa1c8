"""Pools in an object store: Lance makes commits atomic and durable there; this makes pools appear and vanish."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from pyarrow import fs

from services.pools.definition import check_name
from services.pools.errors import PoolExists, PoolNotFound, StoreUnavailable
from services.pools.schema import ITEMS

_MARK: Final = "incarnation"
CHECK_SECONDS: Final = 1.0


class RemotePlace:
    """Pools under an address such as "s3://bucket/prepal/pools".

    A pool is there when a version of its items' table is: Lance writes the first one only if there is none, and
    `delete` removes the newest one last. A small object beside the tables tells a pool from another that is created
    under its name. What object stores cannot give is a lock: nobody may be adding to a pool that is being deleted. What
    other processes added or deleted is noticed within a second. Credentials are found where Lance and Arrow look for
    them: the provider's environment variables and files.

    Args:
        uri: Where the pools' folders are.

    Raises:
        ValueError: If the address cannot be understood.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._files, self._path = fs.FileSystem.from_uri(uri)

    def names(self) -> list[str]:
        """Returns the names of the pools, sorted. One request, and one more a pool."""
        return sorted(entry.base_name for entry in self._list(self._path) if self._versions(entry.base_name))

    def create(self, name: str, build: Callable[[str], None]) -> None:
        """Writes the tables. Of two that create one name, one is first with the items' table."""
        check_name("name", name)
        try:
            build(f"{self._uri}/{name}")
        except FileExistsError:
            raise PoolExists(name) from None
        with self._files.open_output_stream(f"{self._path}/{name}/{_MARK}") as stream:
            stream.write(uuid.uuid4().hex.encode())

    def delete(self, name: str) -> bool:
        """Removes the versions of the items' table, the newest last, then the rest."""
        check_name("name", name)
        versions = self._versions(name)
        with contextlib.suppress(FileNotFoundError):
            # Their names count down.
            for path in sorted(versions, reverse=True):
                self._files.delete_file(path)
            self._files.delete_dir(f"{self._path}/{name}")
        return bool(versions)

    def attach(self, name: str) -> "RemoteSite":
        """Returns where a pool lives. Raises PoolNotFound."""
        check_name("name", name)
        if not self._versions(name):
            raise PoolNotFound(name)
        mark = self._read_mark(name)
        return RemoteSite(
            name, f"{self._uri}/{name}", lambda: self._read_mark(name) == mark and bool(self._versions(name))
        )

    def _versions(self, name: str) -> list[str]:
        """Returns the paths of the manifests of the items' table."""
        found = self._list(f"{self._path}/{name}/{ITEMS}/_versions")
        return [entry.path for entry in found if entry.base_name.endswith(".manifest")]

    def _list(self, path: str) -> list[fs.FileInfo]:
        found: list[fs.FileInfo] = self._files.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return found

    def _read_mark(self, name: str) -> bytes | None:
        try:
            with self._files.open_input_stream(f"{self._path}/{name}/{_MARK}") as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None


class RemoteSite:
    """The objects of one pool.

    Args:
        name: The pool's name.
        uri: Where its tables are.
        same: Tells whether the pool is still the one that was attached; costs a request.
    """

    def __init__(self, name: str, uri: str, same: Callable[[], bool]) -> None:
        self._name = name
        self._uri = uri
        self._same = same
        self._alive = True
        self._alive_at = time.monotonic()
        self._asked_at: dict[str, float] = {}

    @property
    def uri(self) -> str:
        """Where the pool's tables are."""
        return self._uri

    def alive(self) -> bool:
        """Tells whether the pool is still there, as it was at most a second ago."""
        if self._alive and time.monotonic() - self._alive_at > CHECK_SECONDS:
            try:
                self._alive = self._same()
            except OSError as error:
                raise StoreUnavailable(f"pool {self._name!r} cannot be reached: {error}") from error
            self._alive_at = time.monotonic()
        return self._alive

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Holds nothing. Raises PoolNotFound."""
        if not self.alive():
            raise PoolNotFound(self._name)
        yield

    def newest(self, table: str, version: int) -> int | None:
        """Returns None, that is to ask Lance, once a second, and in between the version that was seen."""
        if version and time.monotonic() - self._asked_at.get(table, 0.0) < CHECK_SECONDS:
            return version
        self._asked_at[table] = time.monotonic()
        return None

    def sync(self, table: str, files: Iterable[str]) -> None:
        """Does nothing: an object is durable when it is written."""

    def sync_version(self, table: str, version: int) -> None:
        """Does nothing: an object is durable when it is written."""

    def torn(self, table: str, version: int) -> bool:  # noqa: ARG002 - the same for all
        """Returns False: an object is written whole."""
        return False

    def quarantine(self, table: str, readable: Callable[[int], bool]) -> None:  # noqa: ARG002 - for people to read
        """Raises StoreUnavailable: in an object store only people repair."""
        raise StoreUnavailable(f"{table} of pool {self._name!r} cannot be read")

    def sweep(self, table: str) -> None:
        """Does nothing: an object store removes uploads that were not finished by a rule of its own."""
