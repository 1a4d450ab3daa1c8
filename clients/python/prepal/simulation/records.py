"""Raw records of text data files: where each begins, and its fields by column."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

# A record's line number (the header is line 1), and its fields by column.
Record = tuple[int, Mapping[str, object]]


class DataFileError(Exception):
    """A data file that cannot be read, naming the file, the place and what to do.

    Attributes:
        path: The file.
        line: The line (in Parquet the row), from 1; None when the whole file is meant.
        column: The column; None when no single one is meant.
    """

    def __init__(
        self, path: Path, problem: str, *, line: int | None = None, column: str | None = None, unit: str = "line"
    ) -> None:
        place = str(path)
        if line is not None:
            place += f", {unit} {line:,}"
        if column is not None:
            place += f", column {column}"
        super().__init__(f"{place}: {problem}")
        self.path = path
        self.line = line
        self.column = column


def open_bytes(path: Path) -> IO[bytes]:
    """Opens a file for reading, unpacked when its name ends in .gz."""
    try:
        return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise DataFileError(path, f"cannot be opened: {error.strerror}") from error


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields each line with its number from 1, without its line feed; a byte order mark is dropped.

    Raises:
        DataFileError: Bytes that are not UTF-8, or a gzip file that is cut or broken.
    """
    number = 0
    with open_bytes(path) as stream:
        while True:
            try:
                raw = stream.readline()
            except EOFError as error:
                problem = "the gzip file is cut off here; copy or download it again"
                raise DataFileError(path, problem, line=number + 1) from error
            except (gzip.BadGzipFile, zlib.error) as error:
                problem = f"is not a whole gzip file ({error}); copy it again, or take .gz off its name"
                raise DataFileError(path, problem, line=number + 1) from error
            if not raw:
                return
            number += 1
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                problem = f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8"
                raise DataFileError(path, problem, line=number) from error
            yield number, line.removesuffix("\n")


def tsv_records(path: Path, needed: Sequence[str]) -> Iterator[Record]:
    """Yields the records of a tab-separated file without quoting; the first line names the columns.

    Splitting is that of `csv.QUOTE_NONE`: a quotation mark is a character like any other. Empty lines are passed over.
    """
    rows = ((number, line.removesuffix("\r").split("\t")) for number, line in text_lines(path) if line.strip("\r"))
    return _named(path, rows, needed, "a tab inside a text, or a missing one")


def csv_records(path: Path, needed: Sequence[str]) -> Iterator[Record]:
    """Yields the records of a comma-separated file with double quotes; the first line names the columns.

    A quoted field may run over several lines: the number is that of the record's first line. Empty lines are passed
    over.
    """
    return _named(path, _csv_rows(path), needed, "a comma in a text that is not in double quotes")


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line + "\n" for _, line in text_lines(path)), strict=True)
    first = 1
    try:
        for row in reader:
            if row:
                yield first, row
            first = reader.line_num + 1
    except csv.Error as error:
        problem = (
            f"is not CSV ({error}); put texts with commas, quotes or line feeds in double quotes, and double the "
            "quotes inside"
        )
        raise DataFileError(path, problem, line=first) from error


def _named(path: Path, rows: Iterable[tuple[int, list[str]]], needed: Sequence[str], likely: str) -> Iterator[Record]:
    header: list[str] | None = None
    for number, row in rows:
        if header is None:
            header = row
            check_columns(path, header, needed, line=number)
        elif len(row) != len(header):
            problem = f"{_count(len(row), 'field')}, but the header names {len(header)}; likely {likely}"
            raise DataFileError(path, problem, line=number)
        else:
            yield number, dict(zip(header, row, strict=True))


def check_columns(path: Path, header: Sequence[str], needed: Sequence[str], *, line: int | None) -> None:
    """Checks the names of a file's columns.

    Raises:
        DataFileError: A needed column is not there, or a name is there twice.
    """
    for name in needed:
        if name not in header:
            raise DataFileError(path, f"is not in the header, which has {listed(header)}", line=line, column=name)
    for name in header:
        if header.count(name) > 1:
            raise DataFileError(path, "is in the header twice; rename one", line=line, column=name)


def listed(names: Iterable[str]) -> str:
    """Returns names as a person lists them: "a, b and c"."""
    *most, last = [*names] or ["none"]
    return f"{', '.join(most)} and {last}" if most else last


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def jsonl_records(path: Path) -> Iterator[Record]:
    """Yields the records of a file with one JSON object a line. Empty lines are passed over."""
    for number, line in text_lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            problem = f"is not JSON ({error.msg} at character {error.colno}); each line must be one whole JSON object"
            raise DataFileError(path, problem, line=number) from error
        except RecursionError as error:
            raise DataFileError(
                path, "nests too deeply; each line must be one flat JSON object", line=number
            ) from error
        if not isinstance(value, dict):
            problem = 'is not a JSON object; write {"id": ..., "text": ...}'
            raise DataFileError(path, problem, line=number)
        yield number, value
