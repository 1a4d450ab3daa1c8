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
    """Adds --connect and --data.

    Args:
        parser: The command's.
        name: Names the default data folder, in the user's cache.
    """
    parser.add_argument(
        "--connect",
        nargs="?",
        const="localhost",
        metavar="HOST",
        help="use the suite that runs on HOST (localhost when left out) at the default ports, or where "
        "PREPAL_EMBEDDER, PREPAL_SELECTOR and PREPAL_TRAINER say, instead of starting one",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=_cache() / name,
        metavar="DIR",
        help="data folder of the suite that is started; what is embedded there is found again (%(default)s)",
    )


@contextmanager
def suite(args: argparse.Namespace, tell: Callable[[str], None]) -> Iterator[Client]:
    """Yields a client of the suite that the arguments and the environment name; starts and ends one when none is.

    SIGTERM becomes KeyboardInterrupt meanwhile, so that the suite is ended in order.

    Raises:
        SuiteFailed: The suite did not start.
    """
    named = any(os.environ.get(variable) for variable, _ in DEFAULT_ADDRESSES.values())
    if args.connect or named:
        embedder, selector, trainer = (
            _address(service, args.connect) for service in ("embedder", "selector", "trainer")
        )
        with _terminable(), Client(embedder=embedder, selector=selector, trainer=trainer) as client:
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


def _address(service: str, host: str | None) -> str:
    variable, default = DEFAULT_ADDRESSES[service]
    return os.environ.get(variable) or f"{host or 'localhost'}:{default.rpartition(':')[2]}"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prepal"
