"""A checkpoint's folder on this machine: written aside, put in place when complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from prepal import errors
from prepal.v1 import trainer_pb2

_MARK: Final = ".prepal-job"
"""The file that says which job's checkpoint a folder holds."""


class CheckpointFolder:
    """The folder a job's checkpoint goes to."""

    def __init__(self, folder: Path, job: str) -> None:
        self.folder = folder
        self._job = job

    def complete(self) -> bool:
        """Returns whether the folder holds this job's checkpoint already.

        Raises:
            FileExistsError: when it holds something else.
        """
        mark = self.folder / _MARK
        if mark.is_file() and mark.read_text(encoding="utf-8") == self._job:
            return True
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise FileExistsError(f"{self.folder} holds something else; choose another folder, or remove it first")
        return False

    @contextmanager
    def writing(self) -> Iterator[PartialCheckpoint]:
        """Gives a place to write to, beside the folder; it becomes the folder when the block ends well.

        Raises:
            Internal: when a file is not complete at the end.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}-", dir=self.folder.parent))
        try:
            partial = PartialCheckpoint(aside)
            try:
                yield partial
            finally:
                partial.close()
            partial.check()
            (aside / _MARK).write_text(self._job, encoding="utf-8")
            # mkdtemp's own mode is for its owner only.
            aside.chmod(0o777 & ~_umask())
            if self.folder.exists():
                self.folder.rmdir()
            aside.rename(self.folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


class PartialCheckpoint:
    """The files of a checkpoint while they arrive.

    Attributes:
        written: bytes written so far.
    """

    def __init__(self, folder: Path) -> None:
        self.written = 0
        self._folder = folder
        self._sizes: dict[Path, int] = {}
        self._open: tuple[Path, BinaryIO] | None = None

    def write(self, part: trainer_pb2.DownloadCheckpointResponse) -> None:
        """Writes one part of one file.

        Raises:
            Internal: for a path that leaves the folder, or a part that does not continue its file.
        """
        path = PurePosixPath(part.path)
        if not part.path or path.is_absolute() or ".." in path.parts:
            raise errors.Internal(f"the trainer sent a file outside the checkpoint's folder: {part.path!r}")
        file = self._file(self._folder / path)
        if file.tell() != part.offset:
            raise errors.Internal(f"the trainer sent {part.path} at {part.offset}, where {file.tell()} was next")
        file.write(part.data)
        self.written += len(part.data)
        self._sizes[self._folder / path] = part.size

    def check(self) -> None:
        """Checks that every file is as large as it should be.

        Raises:
            Internal: when one is not, or there is none.
        """
        if not self._sizes:
            raise errors.Internal("the trainer sent no file")
        for path, size in self._sizes.items():
            if path.stat().st_size != size:
                raise errors.Internal(
                    f"{path.relative_to(self._folder)} must be {size} bytes, got {path.stat().st_size}"
                )

    def close(self) -> None:
        """Closes the file that is being written, on disk and not only in the cache."""
        if self._open is not None:
            file = self._open[1]
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self._open = None

    def _file(self, path: Path) -> BinaryIO:
        """Returns the open file of a path, closing the one before."""
        if self._open is not None and self._open[0] == path:
            return self._open[1]
        self.close()
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
        self._open = (path, file)
        return file


def _umask() -> int:
    """Returns the process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
