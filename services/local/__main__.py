"""`prepal up`: the whole suite on one machine."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from services.local.child import DiedWhileStarting
from services.local.suite import DataInUse, PortTaken, SuiteOptions, running_suite

_EXAMPLE = """\
example:
  prepal up --data ./data
  prepal up --data ./data --embedder-port 0 --selector-port 0 --trainer-port 0   (takes free ports)
"""


def main() -> int:
    """Runs the suite until SIGTERM or Ctrl-C; returns the exit status."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        options = SuiteOptions(
            data=arguments.data,
            embedder_port=arguments.embedder_port,
            selector_port=arguments.selector_port,
            trainer_port=arguments.trainer_port,
            workers=arguments.workers,
            redis_url=arguments.redis,
        )
        return asyncio.run(_run(options))
    except (ValueError, OSError, DataInUse, PortTaken, DiedWhileStarting) as error:
        sys.stderr.write(f"prepal up: {error}\n")
        return 1


async def _run(options: SuiteOptions) -> int:
    _cancel_on_signal()
    try:
        async with running_suite(options) as suite:
            addresses = f"embedder={suite.embedder} selector={suite.selector} trainer={suite.trainer}"
            sys.stdout.write(f"ready {addresses} data={options.data.resolve()}\n")
            sys.stdout.flush()
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        return 0
    return 0


def _cancel_on_signal() -> None:
    """Cancels the calling task at the first SIGTERM or SIGINT; later ones do not disturb the orderly stop."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: None)
        if task is not None:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prepal up",
        description="Runs the whole suite on this machine: an embedded Redis, embedder, selector, trainer and worker. "
        "Prints a line beginning 'ready' when all of them serve. Ends on SIGTERM and Ctrl-C, and leaves no process.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = os.environ.get("PREPAL_DATA")
    parser.add_argument(
        "--data", type=Path, default=data, required=data is None, help="folder that holds everything (PREPAL_DATA)"
    )
    for service, port in (("embedder", 50051), ("selector", 50052), ("trainer", 50053)):
        parser.add_argument(
            f"--{service}-port", type=int, default=port, metavar="N", help="0 takes a free port (%(default)s)"
        )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="trainer workers (%(default)s)")
    parser.add_argument(
        "--redis",
        default=os.environ.get("PREPAL_REDIS_URL", ""),
        metavar="URL",
        help="a Redis that runs already, instead of the embedded one (PREPAL_REDIS_URL)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
