"""`prepal status`: whether the services serve."""

from __future__ import annotations

import argparse

from prepal.cli.connecting import add_addresses, client_of
from prepal.cli.output import add_json, print_json

HELP = "say whether each service serves"

DESCRIPTION = """\
Asks each of the three services whether it can serve now. The exit status is 0 when all can, else 1.

example:
  prepal status
  prepal status --selector labels.example.org:50052 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    add_json(parser)
    add_addresses(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    with client_of(args) as client:
        states = client.health(timeout=args.timeout or 5.0)
    if args.json:
        print_json(states)
    else:
        rows = [(state.service, state.address, "serving" if state.serving else state.detail) for state in states]
        for service, address, detail in rows:
            print(f"{service:<9} {address:<22} {detail}")
    return 0 if all(state.serving for state in states) else 1
