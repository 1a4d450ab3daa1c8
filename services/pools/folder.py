"""The folder of one pool on a disk: what makes its tables last, and what mends them."""

import contextlib
import logging
import os
import re
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from services.pools.errors import PoolNotFound, StoreRepaired, StoreUnavailable
from services.pools.lock import ROOM, FolderLock

_log = logging.getLogger(__name__)

ABANDONED_SECONDS: Final = 3600.0
_LAST_VERSION: Final = 2**64 - 1
_MANIFEST: Final = re.compile(r"(\d{20})\.manifest")
_MAGIC: Final = b"LANC"


class Folder:
    """The folder of one pool.

    Raises:
        PoolNotFound: If there is no such pool.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._folder = folder
        self._mark = folder / ROOM
        self._lock = FolderLock(folder)
        try:
            descriptor = os.open(self._mark, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise PoolNotFound(name) from None
        # Kept open as long as this object lives, so that no later file can have the same inode number: comparing the
        # two tells a pool from another that was created under its name.
        self._identity = os.fstat(descriptor)
        weakref.finalize(self, os.close, descriptor)

    @property
    def uri(self) -> str:
        """The pool's folder."""
        return str(self._folder)

    def alive(self) -> bool:
        """Tells whether the folder is still the one that was attached (about 2 µs)."""
        try:
            return os.path.samestat(self._mark.stat(), self._identity)
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Holds the folder against deletion and repair. Raises PoolNotFound."""
        try:
            with self._lock.shared():
                # The lock goes by the folder's name, which may be another pool's by now.
                if not self.alive():
                    raise PoolNotFound(self._name)
                yield
        except FileNotFoundError:
            if self.alive():
                raise
            raise PoolNotFound(self._name) from None

    def newest(self, table: str, version: int) -> int | None:
        """Looks for the file of the next version (about 5 µs while there is none).

        Lance numbers versions without gaps and removes only old ones, so a version that is there, and whose successor
        is not, is the newest.
        """
        if version and self._manifest(table, version).exists():
            while self._manifest(table, version + 1).exists():
                version += 1
            return version
        if not (versions := self._versions(table)):
            raise PoolNotFound(self._name)
        return versions[0]

    def sync(self, table: str, files: Iterable[str]) -> None:
        """Flushes data files and their folder to the disk, which Lance does not."""
        for file in files:
            sync_path(self._folder / table / "data" / file)
        sync_path(self._folder / table / "data")

    def sync_version(self, table: str, version: int) -> None:
        """Flushes a manifest and its folder to the disk."""
        manifest = self._manifest(table, version)
        try:
            sync_path(manifest)
        except FileNotFoundError:
            # So old that it was removed: a newer one, made durable by its writer before that, holds all of it.
            return
        sync_path(manifest.parent)

    def torn(self, table: str, version: int) -> bool:
        """Looks for the word that ends a manifest: Lance takes one of zeros for an empty table's."""
        return not self._manifest(table, version).read_bytes().endswith(_MAGIC)

    def quarantine(self, table: str, readable: Callable[[int], bool]) -> None:
        """Renames manifests aside, so that the newest version that can be read is the newest."""
        try:
            with self._lock.exclusive():
                if not self.alive():
                    return
                versions = self._versions(table)
                good = next((version for version in versions if readable(version)), None)
                if good is None:
                    raise StoreUnavailable(f"no version of {table} of pool {self._name!r} can be read; check the disk")
                # Asked once more now that one could be read: what stood in the way may have been no damage, but a want
                # of memory or file descriptors. Another process may also have been here first.
                bad = [version for version in versions if version > good]
                if not bad or any(readable(version) for version in bad):
                    return
                for version in bad:
                    manifest = self._manifest(table, version)
                    manifest.rename(manifest.with_name(f"{manifest.name}.unreadable-{time.time_ns()}"))
                sync_path(self._folder / table / "_versions")
                # The numbers of these versions will be given again: handles that saw them end here, in any process.
                FolderLock.renew(self._folder)
                sync_path(self._folder)
        except FileNotFoundError:
            raise PoolNotFound(self._name) from None
        except OSError as error:
            raise StoreUnavailable(
                f"{table} of pool {self._name!r} is damaged and cannot be repaired from here: {error}"
            ) from error
        _log.error(
            "version %s of %s of pool %r cannot be read; it was put aside in %s, and version %d is used. Only a loss "
            "of power or a failing disk explains this: check the disk.",
            ", ".join(map(str, bad)),
            table,
            self._name,
            self._folder / table / "_versions",
            good,
        )
        raise StoreRepaired(f"pool {self._name!r} was damaged and is repaired; try again")

    def sweep(self, table: str) -> None:
        """Removes files older than an hour that were never finished."""
        for folder in ("data", "_versions", "_transactions"):
            for pattern in (".tmp*", "*.manifest#*"):
                for path in (self._folder / table / folder).glob(pattern):
                    with contextlib.suppress(FileNotFoundError):
                        if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                            path.unlink()

    def _versions(self, table: str) -> list[int]:
        """Returns the versions that are there, newest first."""
        try:
            with os.scandir(self._folder / table / "_versions") as entries:
                matches = [_MANIFEST.fullmatch(entry.name) for entry in entries]
        except FileNotFoundError:
            return []
        return sorted((_LAST_VERSION - int(match[1]) for match in matches if match), reverse=True)

    def _manifest(self, table: str, version: int) -> Path:
        return self._folder / table / "_versions" / f"{_LAST_VERSION - version:020d}.manifest"


def sync_path(path: Path) -> None:
    """Flushes a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
