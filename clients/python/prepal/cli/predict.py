"""`prepal predict`: what a project's head says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from prepal.cli.connecting import add_addresses, client_of
from prepal.cli.output import add_json, print_json
from prepal.simulation.datafile import read_items
from prepal.values.prediction import Predictions

HELP = "predict labels with a project's head"

DESCRIPTION = """\
Prints, separated by tabs: the text's number or the item's id, the most probable label, its probability, and with
--all the probability of every label.

example:
  prepal predict sentiment "what a film" "what a bore"
  prepal predict sentiment --file new.tsv
  prepal predict sentiment --pool reviews --all > predictions.tsv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    parser.add_argument("project", help="the project's name")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text")
    parser.add_argument("--file", type=Path, help="texts of a file with the columns id, text and, for pairs, text_pair")
    parser.add_argument("--item", action="append", default=[], metavar="ID", help="an item of the project's pool")
    parser.add_argument("--pool", metavar="NAME", help="all items of a pool")
    parser.add_argument("--all", action="store_true", help="the probability of every label")
    add_json(parser)
    add_addresses(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    if sum((bool(args.texts), args.file is not None, bool(args.item), args.pool is not None)) != 1:
        raise ValueError("prepal predict takes texts, or --file, or --item, or --pool")
    with client_of(args) as client:
        if args.texts:
            predictions = client.predict(args.project, texts=args.texts)
            names = [str(number) for number in range(1, len(predictions) + 1)]
        elif args.file is not None:
            rows = list(read_items(args.file, label=False))
            texts = [row.text if row.text_pair is None else (row.text, row.text_pair) for row in rows]
            predictions = client.predict(args.project, texts=texts)
            names = [row.id for row in rows]
        elif args.item:
            predictions = client.predict(args.project, items=args.item)
            names = list(predictions.ids)
        else:
            predictions = client.predict(args.project, pool=args.pool)
            names = list(predictions.ids)
    if args.json:
        print_json(_document(names, predictions))
    else:
        _print(names, predictions, every=args.all)
    return 0


def _document(names: Sequence[str], predictions: Predictions) -> dict[str, object]:
    entries = [
        {"id": name, "label": label, "probabilities": row}
        for name, label, row in zip(names, predictions.best, predictions.probabilities, strict=True)
    ]
    return {"labels": predictions.labels, "head_version": predictions.head_version, "predictions": entries}


def _print(names: Sequence[str], predictions: Predictions, *, every: bool) -> None:
    more = predictions.labels if every else ()
    sys.stdout.write("\t".join(["id", "label", "probability", *more]) + "\n")
    for name, label, row in zip(names, predictions.best, predictions.probabilities, strict=True):
        probabilities = [row.max(), *(row if every else ())]
        sys.stdout.write("\t".join([name, label, *(f"{number:.4f}" for number in probabilities)]) + "\n")
