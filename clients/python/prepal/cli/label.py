"""`prepal label`: what a person says about items."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from prepal import errors
from prepal._sync.client import Client
from prepal.cli.connecting import add_addresses, client_of
from prepal.cli.interactive import Session, keys_of
from prepal.cli.label_file import read_labels
from prepal.cli.output import add_json, print_json
from prepal.cli.terminal import Console
from prepal.values.label import CLEAR, SKIP, Mark

HELP = "record labels: given here, from a file, or one after the other in the terminal"

DESCRIPTION = """\
Records labels, skips and clears. With --interactive it shows the item that is most worth labeling, takes one key, and
shows the next, chosen with the label just given; u takes back the last one.

example:
  prepal label sentiment r1=positive r2=negative --skip r3 --clear r4
  prepal label sentiment --file labels.tsv
  prepal label sentiment --interactive --annotator ann

file: .tsv, .csv, .jsonl or .parquet, each also .gz, with the columns id and label; an empty label is a skip
"""

_MOST: Final = 10_000
"""Labels that one call may carry."""

Said = tuple[str, str | Mark]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    parser.add_argument("project", help="the project's name")
    parser.add_argument("labels", nargs="*", metavar="ID=LABEL", help="an item's label; the last = divides")
    parser.add_argument("--skip", action="append", default=[], metavar="ID", help="skip an item")
    parser.add_argument("--clear", action="append", default=[], metavar="ID", help="take back what was said of an item")
    parser.add_argument("--file", type=Path, help="labels of a file")
    parser.add_argument("-i", "--interactive", action="store_true", help="label in this terminal")
    parser.add_argument("--annotator", metavar="NAME", help="who says it (with --interactive the user's name)")
    add_json(parser)
    add_addresses(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    given = [*(_pair(label) for label in args.labels), *((item, SKIP) for item in args.skip)]
    given += [(item, CLEAR) for item in args.clear]
    if sum((bool(given), args.file is not None, args.interactive)) != 1:
        raise ValueError("prepal label takes ID=LABEL, --skip and --clear, or --file, or --interactive")
    with client_of(args) as client:
        if args.interactive:
            return _interactive(client, args)
        _record(client, args, given if args.file is None else read_labels(args.file))
    return 0


def _pair(text: str) -> Said:
    item, divider, label = text.rpartition("=")
    if not divider or not item or not label:
        raise ValueError(f"a label must be ID=LABEL, got {text!r}")
    return item, label


def _record(client: Client, args: argparse.Namespace, said: Iterable[Said]) -> None:
    """Records labels in as few calls as may be, and prints what came of it."""
    changed = unchanged = labeled = 0
    for chunk in _chunks(said):
        try:
            recorded = client.record_labels(args.project, chunk, annotator=args.annotator or "")
        except errors.PrepalError as error:
            if changed + unchanged:
                error.add_note(f"{changed + unchanged:,} labels of the file were recorded before this")
            raise
        changed, unchanged, labeled = changed + recorded.changed, unchanged + recorded.unchanged, recorded.labeled
    if args.json:
        print_json({"changed": changed, "unchanged": unchanged, "labeled": labeled})
    else:
        same = f", {unchanged:,} were recorded already" if unchanged else ""
        print(f"{changed:,} recorded{same}; project {args.project} has {labeled:,} labeled items")


def _chunks(said: Iterable[Said]) -> Iterator[list[Said]]:
    iterator = iter(said)
    while chunk := list(islice(iterator, _MOST)):
        yield chunk


def _interactive(client: Client, args: argparse.Namespace) -> int:
    labels = client.get_project(args.project).project.labels
    annotator = args.annotator if args.annotator is not None else os.environ.get("USER", "")
    single = all(len(key) == 1 for key in keys_of(labels))
    with Console(single=single) as console:
        session = Session(client, args.project, labels, annotator, console)
        try:
            session.run()
        except KeyboardInterrupt:
            console.show("\n")
            return 130
        finally:
            console.show(f"{session.tally()}\n")
    return 0
