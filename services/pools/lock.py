"""Locks on a pool's folder that hold between processes and end with the process that holds them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

GATE: Final = "gate.lock"
ROOM: Final = "room.lock"


class FolderLock:
    """Shared and exclusive locks (flock) on two files in a folder.

    Many writers may be in the room at once (shared); who removes or repairs the folder has it alone (exclusive).
    Everybody comes through the gate, which the exclusive one keeps closed while waiting for the room to empty: a steady
    stream of writers cannot keep it out.
    """

    def __init__(self, folder: Path) -> None:
        self._gate = folder / GATE
        self._room = folder / ROOM

    @staticmethod
    def prepare(folder: Path) -> None:
        """Makes the two files in a new folder."""
        for name in (GATE, ROOM):
            (folder / name).touch()

    @staticmethod
    def renew(folder: Path) -> None:
        """Ends the identity that `ROOM` gives a folder. The caller has the folder alone."""
        new = folder / f".{ROOM}"
        new.touch()
        new.replace(folder / ROOM)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Holds the folder against removal and repair. Raises FileNotFoundError when the folder is gone."""
        with self._held(self._gate, fcntl.LOCK_EX) as gate, self._held(self._room, fcntl.LOCK_SH) as room:
            os.close(gate.pop())
            self._check(self._room, room[0])
            yield

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Has the folder alone. Raises FileNotFoundError when the folder is gone."""
        with self._held(self._gate, fcntl.LOCK_EX), self._held(self._room, fcntl.LOCK_EX) as room:
            self._check(self._room, room[0])
            yield

    @staticmethod
    @contextmanager
    def _held(path: Path, mode: int) -> Iterator[list[int]]:
        descriptors = [os.open(path, os.O_RDWR | os.O_CLOEXEC)]
        try:
            fcntl.flock(descriptors[0], mode)
            yield descriptors
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    @staticmethod
    def _check(path: Path, descriptor: int) -> None:
        # The folder may have been moved away, and another put in its place, while this one waited.
        if not os.path.samestat(path.stat(), os.fstat(descriptor)):
            raise FileNotFoundError(f"{path} was replaced")
