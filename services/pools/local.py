"""Pools in a folder on a disk: what makes them appear, vanish and last."""

import logging
import os
import re
import shutil
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.pools.definition import check_name
from services.pools.errors import PoolExists, PoolNotFound
from services.pools.lock import ROOM, FolderLock

_log = logging.getLogger(__name__)

ITEMS: Final = "items.lance"
_CREATING: Final = ".creating-"
_DELETED: Final = ".deleted-"
_ABANDONED_SECONDS: Final = 3600.0
_LAST_VERSION: Final = 2**64 - 1
_MANIFEST: Final = re.compile(r"(\d{20})\.manifest")
_FOOTER_BYTES: Final = 16
_MAGIC: Final = b"LANC"


class LocalPlace:
    """Pools in a folder, one folder each.

    Args:
        folder: Where the pools' folders are; made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            for parent in (self._folder, *self._folder.parents[:2]):
                _sync(parent)
        self._sweep()

    def names(self) -> list[str]:
        """Returns the names of the pools, sorted."""
        with os.scandir(self._folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
        return sorted(name for name in names if (self._folder / name / ITEMS).is_dir())

    def create(self, name: str, build: Callable[[str], None]) -> None:
        """Builds the pool in a folder aside, makes it durable, and gives it its name in one step."""
        check_name("name", name)
        aside = self._folder / f"{_CREATING}{uuid.uuid4().hex}"
        aside.mkdir()
        try:
            FolderLock.prepare(aside)
            build(str(aside))
            for folder, _, files in os.walk(aside):
                for file in files:
                    _sync(Path(folder, file))
                _sync(Path(folder))
            try:
                # Onto a folder that is not empty this fails: of two that create the same name, one is first.
                aside.rename(self._folder / name)
            except OSError as error:
                if (self._folder / name).is_dir():
                    raise PoolExists(name) from None
                raise error
            _sync(self._folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def delete(self, name: str) -> bool:
        """Moves the pool aside in one step once no writer is in it, then removes it."""
        check_name("name", name)
        folder = self._folder / name
        aside = self._folder / f"{_DELETED}{uuid.uuid4().hex}"
        try:
            with FolderLock(folder).exclusive():
                folder.rename(aside)
                _sync(self._folder)
        except FileNotFoundError:
            return False
        shutil.rmtree(aside, ignore_errors=True)
        return True

    def attach(self, name: str) -> "LocalSite":
        """Returns where a pool lives. Raises PoolNotFound."""
        check_name("name", name)
        return LocalSite(name, self._folder / name)

    def _sweep(self) -> None:
        """Removes what an interrupted create or delete left."""
        with os.scandir(self._folder) as entries:
            left = [entry.path for entry in entries if entry.name.startswith((_CREATING, _DELETED))]
        for path in left:
            try:
                age = time.time() - Path(path).stat().st_mtime
            except FileNotFoundError:
                continue
            if Path(path).name.startswith(_DELETED) or age > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


class LocalSite:
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
        # Kept open, so that no later file can have the same inode number: comparing the two tells a pool from another
        # that was created under its name.
        self._identity = os.fstat(descriptor)
        self._close = weakref.finalize(self, os.close, descriptor)

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

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Holds the folder against deletion and repair. Raises PoolNotFound."""
        if not self.alive():
            raise PoolNotFound(self._name)
        try:
            with self._lock.shared():
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
        try:
            with os.scandir(self._folder / table / "_versions") as entries:
                found = [int(match[1]) for entry in entries if (match := _MANIFEST.fullmatch(entry.name))]
        except FileNotFoundError:
            found = []
        if not found:
            raise PoolNotFound(self._name)
        return _LAST_VERSION - min(found)

    def sync(self, table: str, files: Iterable[str]) -> None:
        """Flushes data files and their folder to the disk, which Lance does not."""
        for file in files:
            _sync(self._folder / table / "data" / file)
        _sync(self._folder / table / "data")
        _sync(self._folder / table)

    def sync_version(self, table: str, version: int) -> None:
        """Flushes a manifest and its folder to the disk."""
        manifest = self._manifest(table, version)
        try:
            _sync(manifest)
        except FileNotFoundError:
            # So old that it was removed: a newer one, made durable by its writer before that, holds all of it.
            return
        _sync(manifest.parent)

    def intact(self, table: str, files: Iterable[tuple[str, int | None]]) -> bool:
        """Compares the files' sizes with what the manifest says (about 2 µs a file)."""
        for file, size in files:
            try:
                there = (self._folder / table / "data" / file).stat().st_size
            except FileNotFoundError:
                return False
            if size is not None and there != size:
                return False
        return True

    def torn(self, table: str, version: int) -> bool:
        """Looks at the manifest's footer: an offset into the file, two version numbers, and the magic word."""
        content = self._manifest(table, version).read_bytes()
        if len(content) < _FOOTER_BYTES or not content.endswith(_MAGIC):
            return True
        return int.from_bytes(content[-_FOOTER_BYTES : 8 - _FOOTER_BYTES], "little") >= len(content)

    def quarantine(self, table: str, version: int, unreadable: Callable[[int], bool]) -> None:
        """Renames the manifest aside, so that the version before it is the newest."""
        with self._lock.exclusive():
            # Another process may have been here first, and a new version may have been written since.
            if self.newest(table, version) != version or not unreadable(version):
                return
            manifest = self._manifest(table, version)
            aside = manifest.with_name(f"{manifest.name}.unreadable-{time.time_ns()}")
            manifest.rename(aside)
            _sync(manifest.parent)
        _log.error(
            "version %d of %s of pool %r cannot be read; it was put aside as %s and the version before it is used. "
            "Only a loss of power or a failing disk explains this: check the disk.",
            version,
            table,
            self._name,
            aside,
        )

    def close(self) -> None:
        """Closes the descriptor that told the folder's identity."""
        self._close()

    def _manifest(self, table: str, version: int) -> Path:
        return self._folder / table / "_versions" / f"{_LAST_VERSION - version:020d}.manifest"


def _sync(path: Path) -> None:
    """Flushes a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
