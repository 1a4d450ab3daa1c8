"""Labels in files of a person's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prepal.simulation.parquet import parquet_records
from prepal.simulation.records import DataFileError, Record, csv_records, jsonl_records, listed, tsv_records
from prepal.values.label import SKIP, Mark

_NEEDED: Final = ("id", "label")
_EXTENSIONS: Final = (".tsv", ".csv", ".jsonl", ".parquet")


def read_labels(path: Path) -> Iterator[tuple[str, str | Mark]]:
    """Yields item ids and labels; an empty label, or null, is a skip.

    Args:
        path: .tsv, .csv, .jsonl or .parquet, each also .gz, with the columns id and label; others are ignored.

    Raises:
        DataFileError: when the file is malformed, or names an item twice; the message says where.
    """
    first_lines: dict[str, int] = {}
    for line, fields in _records(path):
        for column in _NEEDED:
            if column not in fields:
                raise DataFileError(path, f"is missing; there are {listed(fields)}", line=line, column=column)
        item_id, label = (_name(path, line, column, fields[column]) for column in _NEEDED)
        if not item_id:
            raise DataFileError(path, "is empty; every label needs its item's id", line=line, column="id")
        first = first_lines.setdefault(item_id, line)
        if first != line:
            raise DataFileError(path, f'"{item_id}" was labeled in line {first:,} already', line=line, column="id")
        yield item_id, label or SKIP


def _records(path: Path) -> Iterator[Record]:
    kind = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    match kind:
        case ".tsv":
            return tsv_records(path, _NEEDED)
        case ".csv":
            return csv_records(path, _NEEDED)
        case ".jsonl":
            return jsonl_records(path)
        case ".parquet":
            return parquet_records(path, _NEEDED, ())
        case _:
            raise DataFileError(path, f"the name must end in {listed(_EXTENSIONS)}, each also with .gz after it")


def _name(path: Path, line: int, column: str, value: object) -> str:
    """Returns an id or label: a string, or a whole number's digits; null is empty."""
    match value:
        case None:
            return ""
        case str():
            return value
        case int() if not isinstance(value, bool):
            return str(value)
        case _:
            raise DataFileError(path, f"must be a string, got {value!r:.80}", line=line, column=column)
