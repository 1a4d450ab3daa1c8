"""`prepal export`: a project's labels with their items' texts."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Final

from prepal._sync.client import Client
from prepal.cli.connecting import add_addresses, client_of
from prepal.cli.output import one_line
from prepal.values.item import Item
from prepal.values.label import Label

HELP = "write a project's labels with their items' texts"

DESCRIPTION = """\
Writes what is recorded in a project, in order of item id: id, text, (text_pair,) label, annotator and time. What it
writes, `prepal add`, `prepal label --file` and `prepal simulate` read. A tsv has no quoting, so there a text's tabs and
line feeds become spaces; csv and jsonl keep them.

example:
  prepal export sentiment --out labels.tsv
  prepal export sentiment --format jsonl --skipped
"""

_PAGE: Final = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    parser.add_argument("project", help="the project's name")
    parser.add_argument("--format", choices=["tsv", "csv", "jsonl"], help="(what --out ends in, else tsv)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to; appears when it is complete (stdout)")
    parser.add_argument("--skipped", action="store_true", help="skipped items too, with an empty label")
    add_addresses(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    kind = args.format or (args.out.suffix.lstrip(".") if args.out is not None else "tsv")
    if kind not in ("tsv", "csv", "jsonl"):
        raise ValueError(f"--format must be tsv, csv or jsonl where the name of --out says none, got {args.out}")
    with client_of(args) as client:
        project = client.get_project(args.project).project
        backbone = client.get_pool(project.pool).backbone
        pairs = backbone is not None and backbone.pairs is not None
        entries = _entries(client, project.name, project.pool, skipped=args.skipped)
        with _written(args.out) as stream:
            count = _write(stream, kind, entries, pairs=pairs)
    sys.stderr.write(f"{count:,} labels written\n")
    return 0


def _entries(client: Client, project: str, pool: str, *, skipped: bool) -> Iterator[tuple[Label, Item]]:
    """Yields labels with their items, a page at a time; an item that is no longer in the pool has no text."""
    labels = (label for label in client.list_labels(project) if skipped or not label.skipped)
    while page := list(islice(labels, _PAGE)):
        items = {item.id: item for item in client.get_items(pool, [label.item_id for label in page])}
        for label in page:
            yield label, items.get(label.item_id, Item(label.item_id, ""))


def _write(stream: IO[str], kind: str, entries: Iterable[tuple[Label, Item]], *, pairs: bool) -> int:
    """Writes the entries; returns how many there were."""
    count = 0
    columns = ["id", "text", *(["text_pair"] if pairs else []), "label", "annotator", "time"]
    table = csv.writer(stream, lineterminator="\n")
    if kind == "csv":
        table.writerow(columns)
    elif kind == "tsv":
        stream.write("\t".join(columns) + "\n")
    for label, item in entries:
        values = {
            "id": item.id,
            "text": item.text,
            "text_pair": item.text_pair,
            "label": label.label,
            "annotator": label.annotator,
            "time": label.time.isoformat(),
        }
        row = [values[column] for column in columns]
        if kind == "csv":
            table.writerow(row)
        elif kind == "tsv":
            stream.write("\t".join(one_line(value or "") for value in row) + "\n")
        else:
            stream.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")
        count += 1
    return count


@contextmanager
def _written(out: Path | None) -> Iterator[IO[str]]:
    """Gives stdout, or a file beside `out` that becomes `out` when the block ends well."""
    if out is None:
        yield sys.stdout
        return
    descriptor, aside = tempfile.mkstemp(prefix=f".{out.name}-", dir=out.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as stream:  # noqa: PTH123
            yield stream
            stream.flush()
            os.fsync(descriptor)
        Path(aside).chmod(0o644)
        Path(aside).rename(out)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(aside).unlink()
