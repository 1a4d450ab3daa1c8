"""A checkpoint's files, part by part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.trainer.errors import NoCheckpoint

PART_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One part of one file.

    Attributes:
        path: inside the folder, with forward slashes.
        size: of the whole file, in bytes.
        offset: where the part begins.
        data: at most `PART_BYTES`; empty only for an empty file.
    """

    path: str
    size: int
    offset: int
    data: bytes


def parts(folder: Path) -> Iterator[Part]:
    """Yields the parts of all regular files in order of their paths; links and what they lead to are left out.

    Raises:
        NoCheckpoint: the folder, or a file of it, is not there any more.
    """
    for path in _regular_files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise _gone(folder) from error
        with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor that follows no link
            size = os.fstat(descriptor).st_size
            if size == 0:
                yield Part(name, 0, 0, b"")
            offset = 0
            while offset < size:
                data = file.read(min(PART_BYTES, size - offset))
                if not data:
                    raise _gone(folder)
                yield Part(name, size, offset, data)
                offset += len(data)


def _regular_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise _gone(folder)
    return sorted(
        Path(place) / name
        for place, _, names in os.walk(folder)
        for name in names
        if (Path(place) / name).is_file() and not (Path(place) / name).is_symlink()
    )


def _gone(folder: Path) -> NoCheckpoint:
    return NoCheckpoint(f"the checkpoint of job {folder.parent.name} is not there any more")
