"""Pools in a folder on a disk: what makes them appear and vanish."""

import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.pools.definition import check_name
from services.pools.errors import PoolExists
from services.pools.folder import ABANDONED_SECONDS, Folder, sync_path
from services.pools.lock import ROOM, FolderLock

_CREATING: Final = ".creating-"
_DELETED: Final = ".deleted-"


class LocalPlace:
    """Pools in a folder, one folder each.

    Args:
        folder: Where the pools' folders are; made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        missing = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            sync_path(path.parent)
        self._sweep()

    def names(self) -> list[str]:
        """Returns the names of the pools, sorted."""
        with os.scandir(self._folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
        return sorted(name for name in names if (self._folder / name / ROOM).is_file())

    def create(self, name: str, build: Callable[[str], None]) -> None:
        """Builds the pool in a folder aside, makes it durable, and gives it its name in one step."""
        check_name("name", name)
        aside = self._folder / f"{_CREATING}{uuid.uuid4().hex}"
        aside.mkdir()
        try:
            FolderLock.prepare(aside)
            build(str(aside))
            for table in aside.rglob("*.lance"):
                # Lance makes it with the first rows; made now, it is durable and need not be synced with each commit.
                (table / "data").mkdir(exist_ok=True)
            for folder, _, files in os.walk(aside):
                for file in files:
                    sync_path(Path(folder, file))
                sync_path(Path(folder))
            try:
                # Onto a folder that is not empty this fails: of two that create the same name, one is first.
                aside.rename(self._folder / name)
            except OSError as error:
                if (self._folder / name).is_dir():
                    raise PoolExists(name) from None
                raise error
            sync_path(self._folder)
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
                sync_path(self._folder)
        except FileNotFoundError:
            return False
        shutil.rmtree(aside, ignore_errors=True)
        return True

    def attach(self, name: str) -> Folder:
        """Returns where a pool lives. Raises PoolNotFound."""
        check_name("name", name)
        return Folder(name, self._folder / name)

    def _sweep(self) -> None:
        """Removes what an interrupted create or delete left."""
        with os.scandir(self._folder) as entries:
            left = [entry.path for entry in entries if entry.name.startswith((_CREATING, _DELETED))]
        for path in left:
            try:
                age = time.time() - Path(path).stat().st_mtime
            except FileNotFoundError:
                continue
            if Path(path).name.startswith(_DELETED) or age > ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
