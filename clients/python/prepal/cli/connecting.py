"""The arguments that say where the services are, and the client they make."""

from __future__ import annotations

import argparse

from prepal._channel import DEFAULT_ADDRESSES
from prepal._sync.client import Client


def add_addresses(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Adds --embedder, --selector, --trainer and --timeout.

    Args:
        parser: the command's, or an action's of a command.
        again: whether the command has them too: then an action's defaults must not undo what stood before the action.
    """
    default_value = argparse.SUPPRESS if again else None
    group = parser.add_argument_group("services")
    for service, (variable, default) in DEFAULT_ADDRESSES.items():
        group.add_argument(
            f"--{service}",
            default=default_value,
            metavar="HOST:PORT",
            help=f"where it is ({variable}, else {default})",
        )
    group.add_argument(
        "--timeout",
        type=float,
        default=default_value,
        metavar="SECONDS",
        help="for each call (60; 600 where a model may have to be loaded)",
    )


def client_of(args: argparse.Namespace) -> Client:
    """Returns the client of the services that the arguments name."""
    return Client(embedder=args.embedder, selector=args.selector, trainer=args.trainer, timeout=args.timeout)


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Adds --progress and --no-progress."""
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a progress bar on stderr (by default where it is a terminal)",
    )
