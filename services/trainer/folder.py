"""Folders that appear whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Names that begin so belong to work in progress; no job's id does.
WRITING, DELETED = ".writing-", ".deleted-"


@contextmanager
def written_aside(target: Path, owner: str) -> Iterator[Path]:
    """Gives an empty folder beside `target` to fill; renames it to `target`, durably, when the block ends well.

    What fails inside leaves `target` as it was.

    Args:
        target: where the folder is to appear; a folder that is there is replaced.
        owner: what tells this writer from another of the same target.
    """
    aside = target.with_name(f"{WRITING}{target.name}-{owner}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        make_durable(aside)
        remove(target)
        aside.rename(target)
        _sync(target.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def make_durable(folder: Path) -> None:
    """Returns once every file and folder under `folder`, and its own name, is on the disk."""
    for place, _, files in os.walk(folder):
        for name in files:
            _sync(Path(place) / name)
        _sync(Path(place))
    _sync(folder.parent)


def remove(folder: Path) -> None:
    """Removes a folder; from the first moment it is not there under its name. Nothing happens when it is not there."""
    gone = folder.with_name(f"{DELETED}{folder.name}")
    with suppress(FileNotFoundError):
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
