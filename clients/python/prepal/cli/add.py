"""`prepal add`: items of a file into a pool."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from prepal import errors
from prepal._sync.client import Client
from prepal.cli.connecting import add_addresses, add_progress, client_of
from prepal.cli.output import add_json, print_json
from prepal.simulation.datafile import Row, read_items
from prepal.values.item import AddItemsResult, Item

HELP = "add the items of a file to a pool, which is created if there is none"

DESCRIPTION = """\
Adds the items of a file to a pool and embeds them. A pool that does not exist is created. Adding the same file again
changes nothing, so an interrupted command is simply repeated. The exit status is 1 when items were rejected.

example:
  prepal add reviews reviews.tsv
  prepal add nli pairs.jsonl.gz --backbone minilm --pairs full

file: .tsv, .csv, .jsonl or .parquet, each also .gz, with the columns id, text and, for pairs, text_pair
"""

_SHOWN: Final = 10
"""Rejected items that are named one by one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    parser.add_argument("pool", help="the pool's name")
    parser.add_argument("file", type=Path, help="the items")
    new = parser.add_argument_group("a new pool")
    new.add_argument("--backbone", metavar="MODEL", help="minilm, a Hugging Face id, or a folder (minilm)")
    new.add_argument("--pairs", metavar="MODE", help="joint, compare, full or auto (auto, where the file has pairs)")
    new.add_argument("--pooling", metavar="HOW", help="mean, cls or last_token (what the model's folder says)")
    new.add_argument("--max-length", type=int, metavar="TOKENS", help="tokens kept of a text (the model's own limit)")
    new.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        help="scale embeddings to unit length (what the model's folder says)",
    )
    parser.add_argument("--chunk-size", type=int, default=512, metavar="N", help="items sent together (%(default)s)")
    add_progress(parser)
    add_json(parser)
    add_addresses(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    rows = read_items(args.file, label=False)
    first = next(rows)
    with client_of(args) as client:
        _create_if_missing(client, args, pairs=first.text_pair is not None)
        result = client.add_items(
            args.pool, _items(chain([first], rows)), progress=args.progress, chunk_size=args.chunk_size
        )
    if args.json:
        print_json(result)
    else:
        print(_sentence(args.pool, result))
    _tell_rejected(result)
    return 1 if result.rejected else 0


def _create_if_missing(client: Client, args: argparse.Namespace, *, pairs: bool) -> None:
    """Creates the pool, unless it is there and nothing is said about what it must be."""
    said = (args.backbone, args.pairs, args.pooling, args.max_length, args.normalize)
    if all(option is None for option in said):
        try:
            client.get_pool(args.pool)
        except errors.NotFound:
            pass
        else:
            return
    client.create_pool(
        args.pool,
        backbone=args.backbone or "minilm",
        pairs=args.pairs or ("auto" if pairs else None),
        pooling=args.pooling,
        max_length=args.max_length,
        normalize=args.normalize,
    )


def _items(rows: Iterable[Row]) -> Iterator[Item]:
    for row in rows:
        yield Item(row.id, row.text, row.text_pair)


def _sentence(pool: str, result: AddItemsResult) -> str:
    parts = [f"{result.accepted:,} added"]
    if result.already_there:
        parts.append(f"{result.already_there:,} already there")
    if result.rejected:
        parts.append(f"{len(result.rejected):,} rejected")
    if result.truncated:
        parts.append(f"{result.truncated:,} embedded from their beginning only, for their length")
    return f"{', '.join(parts)}; pool {pool} has {result.pool_items:,} items"


def _tell_rejected(result: AddItemsResult) -> None:
    for item in result.rejected[:_SHOWN]:
        sys.stderr.write(f"rejected {item.item_id!r} ({item.reason}): {item.message}\n")
    rest = Counter(item.reason for item in result.rejected[_SHOWN:])
    if rest:
        sys.stderr.write(f"and {', '.join(f'{count:,} more with {reason}' for reason, count in rest.items())}\n")
