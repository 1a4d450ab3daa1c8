"""`prepal simulate`: acquisition functions compared on a labeled data set of one's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from prepal import errors
from prepal.cli.settings import ACQUISITIONS, add_head, add_parameters, head_of, parameters_of
from prepal.simulation.curves import Curves, write_aside
from prepal.simulation.datafile import DataFileError, read_items
from prepal.simulation.folder import OtherSimulationError
from prepal.simulation.options import SimulationOptions
from prepal.simulation.patience import StoppedError
from prepal.simulation.plot import PlotUnavailableError, draw_curves
from prepal.simulation.run import AL_LR, UnexpectedStateError
from prepal.simulation.simulate import ItemsRejectedError, kept_curves, simulate
from prepal.simulation.suite import add_suite_arguments, suite, tell
from prepal.simulation.summary import summarize
from prepal.simulation.task import Task, limited, task_of
from prepal.values.enums import PairMode

HELP = "compare acquisition functions on a labeled data set, and draw their learning curves"

DESCRIPTION = """\
Plays active learning on items whose labels are known: each acquisition function chooses, the known labels answer, and a
head that is refit each round is evaluated on the test items. A killed simulation goes on when it is started again.

example:
  prepal simulate --train train.tsv.gz --test test.tsv.gz --acquisition max_entropy --acquisition random \\
      --start 50 --step 50 --rounds 39 --seeds 3 --out out/reviews

files: .tsv, .csv, .jsonl or .parquet, each also .gz, with the columns id, text, (text_pair,) label
writes: curves.csv, curves.png, curves.svg and summary.md in --out
"""

DEFAULTS = SimulationOptions()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--train", type=Path, required=True, metavar="FILE", help="labeled items to choose from")
    parser.add_argument("--test", type=Path, required=True, metavar="FILE", help="labeled items to evaluate on")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--acquisition",
        action="append",
        metavar="NAME",
        help=f"what chooses: {ACQUISITIONS}; may be repeated ({' and '.join(DEFAULTS.acquisitions)})",
    )
    for name, what in (
        ("start", "labels at the beginning"),
        ("step", "labels added in each round"),
        ("rounds", "rounds after the beginning"),
        ("seeds", "runs of each acquisition"),
        ("parallel", "runs at a time"),
    ):
        default = getattr(DEFAULTS, name)
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{what} (%(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="use only N of the train items, drawn by their ids")
    parser.add_argument(
        "--backbone",
        default=DEFAULTS.backbone,
        metavar="MODEL",
        help="minilm, a Hugging Face id, or a folder with a model (%(default)s)",
    )
    parser.add_argument(
        "--pairs",
        default=DEFAULTS.pairs,
        metavar="MODE",
        help=f"how text pairs are embedded: {', '.join(PairMode)} (%(default)s: what suits the backbone)",
    )
    parser.add_argument(
        "--cold-start",
        default=DEFAULTS.cold_start,
        metavar="NAME",
        help="what chooses the beginning: random, coreset, kmeans, typiclust or prob_cover (%(default)s)",
    )
    add_head(parser, unsaid="logistic")
    add_parameters(parser)
    add_suite_arguments(parser, name="simulate")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    try:
        options = SimulationOptions(
            acquisitions=args.acquisition or DEFAULTS.acquisitions,
            start=args.start,
            step=args.step,
            rounds=args.rounds,
            seeds=args.seeds,
            parallel=args.parallel,
            backbone=args.backbone,
            pairs=args.pairs,
            cold_start=args.cold_start,
            head=head_of(args, DEFAULTS.head) or DEFAULTS.head,
            parameters=parameters_of(args) or DEFAULTS.parameters,
        )
        task = read_task(args.train, args.test, options, limit=args.limit)
        curves = kept_curves(task, options, args.out)
    except (ValueError, DataFileError, OtherSimulationError) as error:
        return failed(error, 2)
    try:
        if curves is None:
            with suite(args, tell) as client:
                curves = simulate(client, task.train, task.test, options, out=args.out, progress=None, tell=tell)
        else:
            tell(f"{args.out} holds this simulation, finished; nothing is left to do but to show it")
        title = f"{AL_LR}, {options.backbone}: {args.train}, {len(task.train):,} items"
        sys.stdout.write(present(curves, args.out, title))
    except (errors.PrepalError, ItemsRejectedError, UnexpectedStateError, OSError) as error:
        return failed(error, 1)
    except (KeyboardInterrupt, StoppedError):
        return failed("stopped; the same command goes on from here", 130)
    return 0


def read_task(train: Path, test: Path, options: SimulationOptions, *, limit: int | None = None) -> Task:
    """Reads and checks both files before anything else is done.

    Args:
        train: The file with the items to choose from.
        test: The file with the items to evaluate on.
        options: What is to be simulated.
        limit: Train items to use at most.

    Raises:
        DataFileError: A file is malformed.
        ValueError: The items do not suit the options, or the limit is not at least 1.
    """
    rows = read_items(train, label=True)
    return task_of(rows if limit is None else limited(rows, limit), read_items(test, label=True), options)


def present(curves: Curves, out: Path, title: str) -> str:
    """Writes curves.png, curves.svg and summary.md, and returns what is to be printed."""
    summary = summarize(curves)
    write_aside(out / "summary.md", f"# {title}\n\n{summary}\n![curves](curves.svg)\n".encode())
    try:
        drawn = ", ".join(str(file) for file in draw_curves(curves, out, title=title))
    except PlotUnavailableError as error:
        drawn = f"no picture ({error}; then run the same command again)"
    return f"\n{title}\n\n{summary}\nwritten: {out / 'curves.csv'}, {out / 'summary.md'}, {drawn}\n"


def failed(error: object, status: int) -> int:
    """Tells a person what went wrong, and returns the exit status."""
    tell(f"prepal: {error}")
    for note in getattr(error, "__notes__", ()):
        tell(f"  {note}")
    return status
