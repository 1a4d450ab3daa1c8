"""Items in files of a person's own: tsv, csv, jsonl and parquet, each also gzipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prepal.simulation.parquet import parquet_records
from prepal.simulation.records import DataFileError, Record, csv_records, jsonl_records, listed, tsv_records

__all__ = ["EXTENSIONS", "DataFileError", "Row", "read_items"]

EXTENSIONS = (".tsv", ".csv", ".jsonl", ".parquet")


@dataclass(frozen=True, slots=True)
class Row:
    """One item of a data file.

    Attributes:
        id: The item's id, not empty, unique in the file.
        text: The text, not only white space.
        text_pair: The second text of a pair; None in a file of single texts.
        label: The label, not empty; None where labels were not asked for.
        line: The line of the file where the item begins (in Parquet the row), from 1.
    """

    id: str
    text: str
    text_pair: str | None
    label: str | None
    line: int


def read_items(path: str | Path, *, label: bool) -> Iterator[Row]:
    """Reads the items of a data file, one at a time.

    The end of the name says the format: .tsv (UTF-8, tabs, no quoting), .csv (UTF-8, double quotes), .jsonl (one object
    a line) or .parquet, each also with .gz. Columns are id, text, text_pair (only in files of pairs) and label; others
    are ignored. Ids and labels may be numbers where the format has numbers: they become their decimal digits.

    Args:
        path: The file.
        label: Whether every item must have a label. When false, a label column is ignored.

    Yields:
        The items in the file's order. Memory: one batch of items, and the ids read so far (about 150 bytes each, which
        is what finding a repeated id takes).

    Raises:
        DataFileError: The file cannot be opened or is malformed; the message names file, line, column and remedy. Items
            before that place have been yielded.

    Example:
        >>> for row in read_items("reviews.tsv.gz", label=True):  # doctest: +SKIP
        ...     print(row.id, row.label)
    """
    path = Path(path)
    kind = _kind(path)
    unit = "row" if kind == ".parquet" else "line"
    needed = ("id", "text", "label") if label else ("id", "text")
    first_lines: dict[str, int] = {}
    pairs: bool | None = None
    for line, fields in _records(path, kind, needed):
        place = _Place(path, line, unit)
        if pairs is None:
            pairs = fields.get("text_pair") is not None
        _check_fields(place, fields, needed, pairs)
        row = Row(
            id=place.name(fields, "id"),
            text=place.text(fields, "text"),
            text_pair=place.text(fields, "text_pair") if pairs else None,
            label=place.name(fields, "label") if label else None,
            line=line,
        )
        first = first_lines.setdefault(row.id, line)
        if first != line:
            raise place.error(f'"{row.id}" was already the id of {unit} {first:,}; ids must differ', "id")
        yield row
    if not first_lines:
        raise DataFileError(path, f"has no items; it needs the columns {listed(needed)} and at least one item")


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    if not suffixes or suffixes[-1] not in EXTENSIONS:
        raise DataFileError(path, f"the name must end in {listed(EXTENSIONS)}, each also with .gz after it")
    return suffixes[-1]


def _records(path: Path, kind: str, needed: Sequence[str]) -> Iterator[Record]:
    match kind:
        case ".tsv":
            return tsv_records(path, needed)
        case ".csv":
            return csv_records(path, needed)
        case ".jsonl":
            return jsonl_records(path)
        case _:
            return parquet_records(path, needed, ("text_pair",))


def _check_fields(place: _Place, fields: Mapping[str, object], needed: Sequence[str], pairs: bool) -> None:
    for column in needed:
        if column not in fields:
            raise place.error(f"is missing; there are {listed(fields)}", column)
    if (fields.get("text_pair") is not None) != pairs:
        problem = "is missing, but items before have one" if pairs else "is there, but items before have none"
        raise place.error(f"{problem}; a file holds either single texts or pairs", "text_pair")


@dataclass(frozen=True, slots=True)
class _Place:
    path: Path
    line: int
    unit: str

    def error(self, problem: str, column: str) -> DataFileError:
        return DataFileError(self.path, problem, line=self.line, column=column, unit=self.unit)

    def text(self, fields: Mapping[str, object], column: str) -> str:
        value = fields[column]
        if value is None or value == "":
            raise self.error("is empty; every item needs one", column)
        if not isinstance(value, str):
            raise self.error(f"is {_type_name(value)}, not text; write it as a string", column)
        if not value.strip():
            raise self.error("holds only white space; every item needs some text", column)
        return value

    def name(self, fields: Mapping[str, object], column: str) -> str:
        value = fields[column]
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(fields, column)


def _type_name(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number with a fraction",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), f"of type {type(value).__name__}")
