"""`prepal`: finds the command, runs it, and turns what goes wrong into a sentence and an exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Final, Protocol, cast

from prepal import __version__, errors
from prepal.cli import add, export, jobs, label, pools, predict, projects, select, status, train, up
from prepal.demo import command as demo
from prepal.simulation import command as simulate
from prepal.simulation.records import DataFileError

DESCRIPTION: Final = """\
PRepAL: active learning on text over pretrained representations.

example:
  prepal up --data ./data                                               (leave it running)
  prepal add reviews reviews.tsv
  prepal projects create sentiment --pool reviews --label negative --label positive
  prepal label sentiment --interactive
  prepal train sentiment --out ./model
"""

EXIT_CODES: Final = """\
exit status: 0 done, 1 failed, 2 called wrongly, 130 interrupted
PREPAL_TRACEBACK=1 shows where an error came from
"""


class Command(Protocol):
    """What a command's module offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's arguments and its description."""

    def run(self, args: argparse.Namespace) -> int:
        """Runs the command; returns the exit status."""


def _command(module: ModuleType) -> Command:
    return cast(Command, module)


COMMANDS: Final[Mapping[str, Command]] = {
    "up": _command(up),
    "status": _command(status),
    "add": _command(add),
    "pools": _command(pools),
    "projects": _command(projects),
    "select": _command(select),
    "label": _command(label),
    "export": _command(export),
    "predict": _command(predict),
    "train": _command(train),
    "jobs": _command(jobs),
    "simulate": _command(simulate),
    "demo": _command(demo),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `prepal` with these arguments; returns the exit status.

    0 is done, 1 failed, 2 called wrongly, 130 interrupted.
    """
    # The log of gRPC itself would stand between our sentences; its errors become ours anyway.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["up"]:
        # Its flags are the suite's own, which this package does not know.
        return _guarded(lambda: up.run_flags(arguments[1:]))
    parser = _parser()
    args = parser.parse_args(arguments)
    return _guarded(lambda: COMMANDS[args.command].run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prepal",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"prepal {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
        command.add_arguments(added)
    return parser


class _Run(Protocol):
    def __call__(self) -> int: ...


def _guarded(run: _Run) -> int:
    """Runs a command; tells what went wrong in a sentence on stderr."""
    try:
        status = run()
        # Here, where a reader that has gone away is still an error of ours to handle.
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read the output has seen enough. What is still in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return 130
    except (errors.PrepalError, DataFileError, OSError, ValueError) as error:
        if os.environ.get("PREPAL_TRACEBACK"):
            raise
        sentences = [str(error), *getattr(error, "__notes__", ())]
        sys.stderr.write("".join(f"{'prepal: ' if not row else '  '}{text}\n" for row, text in enumerate(sentences)))
        return 2 if isinstance(error, ValueError) else 1


if __name__ == "__main__":
    sys.exit(main())
