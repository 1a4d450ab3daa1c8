"""What commands print: tables for people, JSON for machines, both on stdout."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import numpy as np

_WIDEST = 60
"""Characters of a text that a table shows."""


def add_json(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Adds --json; `again` as in `add_addresses`."""
    default = argparse.SUPPRESS if again else False
    parser.add_argument("--json", action="store_true", default=default, help="print one JSON document instead")


def print_json(value: object) -> None:
    """Prints a value, or a list of them, as one JSON document."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n")


def plain(value: object) -> Any:
    """Returns a value as JSON knows it: dataclasses as objects, arrays and tuples as lists, times as ISO 8601."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case np.ndarray():
            # Through their shortest decimal text, so that 0.1 of float32 stays 0.1.
            return [plain(row) for row in value] if value.ndim > 1 else [float(str(number)) for number in value]
        case Mapping():
            return {str(key): plain(entry) for key, entry in value.items()}
        case str():
            return value
        case Sequence():
            return [plain(entry) for entry in value]
        case _:
            return value


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Prints rows under a header, columns aligned, numbers to the right; or a sentence when there are none."""
    lines = [[_cell(entry) for entry in row] for row in rows]
    if not lines:
        sys.stdout.write(f"{empty}\n")
        return
    widths = [max(len(line[column]) for line in [list(header), *lines]) for column in range(len(header))]
    numeric = [all(_is_number(line[column]) for line in lines) for column in range(len(header))]
    for line in [list(header), *lines]:
        cells = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        )
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def print_fields(fields: Mapping[str, object]) -> None:
    """Prints names and values, one pair a line, values aligned; those that are None are left out."""
    shown = {name: value for name, value in fields.items() if value is not None}
    width = max(map(len, shown))
    for name, value in shown.items():
        sys.stdout.write(f"{name.ljust(width)}  {_cell(value, widest=1_000)}\n")


def one_line(text: str) -> str:
    """Returns a text with every run of white space as one space."""
    return " ".join(text.split())


def shortened(text: str, widest: int) -> str:
    """Returns a text on one line, cut where it is longer than `widest` characters."""
    line = one_line(text)
    return line if len(line) <= widest else line[: widest - 1] + "…"


def _cell(value: object, widest: int = _WIDEST) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple():
            return shortened(", ".join(str(entry) for entry in value), widest)
        case _:
            return shortened(str(value), widest)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(",", "").replace(".", "").replace("-", "").replace("e", "").isdigit()
