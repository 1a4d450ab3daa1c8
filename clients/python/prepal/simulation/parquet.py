"""Records of Parquet files; needs pyarrow, which `prepal[simulate]` installs."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from prepal.simulation.records import DataFileError, Record, check_columns, open_bytes

BATCH_ROWS = 4096


def parquet_records(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    """Yields the records of a Parquet file with their row number from 1, a batch of rows in memory at a time.

    Args:
        path: The file; with .gz at its end it is first unpacked into a temporary file.
        needed: The columns that must be there.
        optional: The columns to read where they are there. Others are not read.

    Raises:
        DataFileError: pyarrow is not installed, the file is not whole, or a needed column is not there.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        problem = 'reading Parquet needs pyarrow; install it with: pip install "prepal[simulate]"'
        raise DataFileError(path, problem) from error
    with _seekable(path) as stream:
        try:
            file = parquet.ParquetFile(stream)
            header = file.schema_arrow.names
            check_columns(path, header, needed, line=None)
            columns = [*needed, *(name for name in optional if name in header)]
            number = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for values in batch.to_pylist():
                    number += 1
                    yield number, values
        except (ArrowException, OSError) as error:
            raise DataFileError(path, f"is not a whole Parquet file ({error}); write or copy it again") from error


@contextmanager
def _seekable(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix != ".gz":
        with open_bytes(path) as stream:
            yield stream
        return
    with tempfile.TemporaryFile() as unpacked:
        try:
            with open_bytes(path) as packed:
                shutil.copyfileobj(packed, unpacked)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataFileError(path, f"is not a whole gzip file ({error}); copy or download it again") from error
        unpacked.seek(0)
        yield unpacked
