"""`prepal select`: the items to label next."""

from __future__ import annotations

import argparse
import sys

from prepal.cli.connecting import add_addresses, client_of
from prepal.cli.output import add_json, one_line, print_json
from prepal.cli.settings import ACQUISITIONS, add_parameters, parameters_of
from prepal.values.selection import Selection

HELP = "choose the items to label next"

DESCRIPTION = """\
Prints the items to label next, most wanted first: id, score, and text, separated by tabs. They are reserved for the
annotator until they are labeled or the reservation expires.

example:
  prepal select sentiment -k 10
  prepal select sentiment -k 50 --acquisition margin --annotator ann --json
  prepal select sentiment -k 20 --acquisition bald --samples 100 --max-similarity 0.98
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    parser.add_argument("project", help="the project's name")
    parser.add_argument("-k", type=int, default=10, metavar="K", help="items wanted, 1 to 1,000 (%(default)s)")
    parser.add_argument("--acquisition", metavar="NAME", help=f"{ACQUISITIONS} (the project's)")
    parser.add_argument(
        "--max-similarity", type=float, metavar="COS", help="cosine from which items count as duplicates (none do)"
    )
    parser.add_argument("--annotator", default="", metavar="NAME", help="whom the items are reserved for")
    parser.add_argument("--reservation", type=float, metavar="SECONDS", help="0 reserves nothing (the project's)")
    parser.add_argument("--seed", type=int, metavar="N", help="what random choices start from")
    add_parameters(parser)
    add_json(parser)
    add_addresses(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    with client_of(args) as client:
        selection = client.select(
            args.project,
            args.k,
            acquisition=args.acquisition,
            parameters=parameters_of(args),
            max_similarity=args.max_similarity,
            annotator=args.annotator,
            reservation=args.reservation,
            seed=args.seed,
        )
    if args.json:
        print_json(selection)
        return 0
    for item in selection:
        texts = [one_line(text) for text in (item.text, item.text_pair) if text is not None]
        print(item.id, f"{item.score:.4f}", *texts, sep="\t")
    sys.stderr.write(_note(selection))
    return 0


def _note(selection: Selection) -> str:
    """Returns what a person wants to know beside the items; it goes to stderr, so that the items can be piped."""
    if not selection.items:
        return "nothing is left to select\n"
    head = f"head {selection.head_version}" if selection.head_version else "no head yet"
    cold = ", since the one asked for needs labels of two kinds first" if selection.cold_start else ""
    return f"{selection.acquisition}{cold} ({head}); {selection.remaining:,} items remain\n"
