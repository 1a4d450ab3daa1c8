"""`prepal pools`: the pools there are."""

from __future__ import annotations

import argparse

from prepal.cli.connecting import add_addresses, client_of
from prepal.cli.output import add_json, print_fields, print_json, print_table
from prepal.values.pool import Pool

HELP = "list pools, show one, or delete one"

DESCRIPTION = """\
Lists the pools, or does something with one of them.

example:
  prepal pools
  prepal pools show reviews
  prepal pools delete reviews
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    parser.add_argument("action", nargs="?", choices=["list", "show", "delete"], default="list", help="(list)")
    parser.add_argument("name", nargs="?", help="the pool, for show and delete")
    add_json(parser)
    add_addresses(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    if (args.action == "list") != (args.name is None):
        raise ValueError(f"prepal pools {args.action} takes {'no name' if args.name else 'the name of a pool'}")
    with client_of(args) as client:
        match args.action:
            case "list":
                pools = list(client.pools())
                if args.json:
                    print_json(pools)
                else:
                    _print_pools(pools)
            case "show":
                pool = client.get_pool(args.name)
                if args.json:
                    print_json(pool)
                else:
                    print_fields(_fields(pool))
            case _:
                deleted = client.delete_pool(args.name)
                print(f"pool {args.name} is deleted" if deleted else f"there was no pool {args.name}")
    return 0


def _print_pools(pools: list[Pool]) -> None:
    print_table(
        ["pool", "items", "backbone", "pairs", "dimension", "created"],
        (
            (
                pool.name,
                pool.items,
                pool.backbone.model if pool.backbone else "(own embeddings)",
                pool.backbone.pairs if pool.backbone else None,
                pool.dimension,
                pool.created_at,
            )
            for pool in pools
        ),
        empty="there are no pools; make one with: prepal add NAME FILE",
    )


def _fields(pool: Pool) -> dict[str, object]:
    backbone = pool.backbone
    return {
        "pool": pool.name,
        "items": pool.items,
        "backbone": backbone.model if backbone else "(own embeddings)",
        "pooling": backbone.pooling if backbone else None,
        "max length": backbone.max_length if backbone else None,
        "normalize": backbone.normalize if backbone else None,
        "pairs": (backbone.pairs or "none") if backbone else None,
        "dimension": pool.dimension,
        "fingerprint": pool.fingerprint,
        "version": pool.version,
        "created": pool.created_at,
    }
