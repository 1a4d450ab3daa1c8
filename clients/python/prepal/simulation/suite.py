"""Which suite a command talks to: one that runs already, or one of its own for as long as the command lasts."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from prepal._channel import DEFAULT_ADDRESSES
from prepal._local import local
from prepal._sync.client import Client


def add_suite_arguments(parser: argparse.ArgumentParser, *, name: str) -> None:
    """Adds --data, --connect, --embedder, --selector and --trainer.

    Args:
        parser: The command's.
        name: Names the default data folder, in the user's cache.
    """
    group = parser.add_argument_group("suite", "A suite is started for the command, unless one that runs is named.")
    group.add_argument(
        "--data",
        type=Path,
        default=_cache() / name,
        metavar="DIR",
        help="data folder of the suite that is started; what is embedded there is found again (%(default)s)",
    )
    group.add_argument("--connect", action="store_true", help="use the suite that runs at the default addresses")
    for service, (variable, default) in DEFAULT_ADDRESSES.items():
        group.add_argument(
            f"--{service}",
            metavar="HOST:PORT",
            help=f"use the suite that runs, with its {service} there ({variable}, else {default})",
        )


@contextmanager
def suite(args: argparse.Namespace, tell: Callable[[str], None]) -> Iterator[Client]:
    """Yields a client of the suite that the arguments and the environment name; starts and ends one when none is.

    SIGTERM becomes KeyboardInterrupt meanwhile, so that the suite is ended in order.

    Raises:
        SuiteFailed: The suite did not start.
    """
    given = [getattr(args, service) or os.environ.get(variable) for service, (variable, _) in DEFAULT_ADDRESSES.items()]
    if args.connect or any(given):
        with (
            _terminable(),
            Client(embedder=args.embedder, selector=args.selector, trainer=args.trainer) as client,
        ):
            yield client
        return
    tell(f"starting the suite over {args.data}")
    args.data.mkdir(parents=True, exist_ok=True)
    with _terminable(), local(args.data) as client:
        yield client


def tell(sentence: str) -> None:
    """Writes a sentence for a person to stderr, above any progress bar."""
    from tqdm import tqdm

    tqdm.write(sentence, file=sys.stderr)


@contextmanager
def _terminable() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prepal"
