"""`prepal up`: the whole suite on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from prepal._local import require_services, suite_command

HELP = "run the whole suite on this machine: embedder, selector, trainer and a Redis of their own"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds nothing: every flag is the suite's own."""
    parser.add_argument("flags", nargs=argparse.REMAINDER)


def run(args: argparse.Namespace) -> int:
    """Runs the suite in this process's place."""
    return run_flags(args.flags)


def run_flags(flags: Sequence[str]) -> int:
    """Runs the suite with these flags, in this process's place, so that signals reach it as they are.

    Raises:
        SuiteFailed: when the services are not installed.
    """
    require_services()
    sys.stdout.flush()
    os.execv(sys.executable, suite_command(flags))  # noqa: S606
