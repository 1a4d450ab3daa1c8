"""`prepal demo`: what active learning is worth, on real text, on this machine, in a few minutes."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from prepal import errors
from prepal.demo.fine_tuning import FineTuned, FineTuningFailedError, fine_tune, keep, kept
from prepal.demo.text_plot import Line, text_plot
from prepal.demo.texts import TooFewTextsError, demo_texts
from prepal.simulation.command import failed, present
from prepal.simulation.curves import Curves
from prepal.simulation.datafile import DataFileError, read_items
from prepal.simulation.folder import OtherSimulationError
from prepal.simulation.options import SimulationOptions
from prepal.simulation.patience import StoppedError
from prepal.simulation.run import UnexpectedStateError
from prepal.simulation.simulate import ItemsRejectedError, Simulation, kept_curves
from prepal.simulation.suite import add_suite_arguments, suite, tell
from prepal.simulation.summary import table
from prepal.simulation.task import Task, task_of

HELP = "see what active learning is worth: real text, a few minutes, nothing to bring"

DESCRIPTION = """\
Embeds several thousand real texts, lets max_entropy choose which of them to label beside a random choice, fine-tunes a
transformer once on what was chosen, and shows curves and a table. Started again, it goes on where it was.

example:
  prepal demo
  prepal demo --train train.tsv --test test.tsv --out out/mine      (files: see prepal simulate --help)
"""

START, STEP, MOST_LABELS, SEEDS = 50, 50, 1_000, 3
CHOSEN, RANDOM = "max_entropy", "random"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments and its description."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--train", type=Path, metavar="FILE", help="your own labeled items to choose from")
    parser.add_argument("--test", type=Path, metavar="FILE", help="your own labeled items to evaluate on")
    parser.add_argument(
        "--out", type=Path, default=Path("out/demo"), metavar="DIR", help="folder for the results (%(default)s)"
    )
    add_suite_arguments(parser, name="demo")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the demonstration plays with.

    Attributes:
        task: The items.
        options: The simulation's options.
        what: The items in words.
    """

    task: Task
    options: SimulationOptions
    what: str


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    if (args.train is None) != (args.test is None):
        return failed("--train and --test belong together: name both, or none for the demonstration's own texts", 2)
    try:
        plan = _plan(args.train, args.test)
        curves = kept_curves(plan.task, plan.options, args.out)
    except (ValueError, DataFileError, OtherSimulationError, TooFewTextsError) as error:
        return failed(error, 2)
    tuned = kept(args.out / "fine_tuning.json")
    try:
        tell(f"[1/5] The texts: {plan.what}.")
        if curves is None or tuned is None:
            curves, tuned = _play(plan, args)
        sys.stdout.write(_results(curves, tuned, plan, args.out))
    except (errors.PrepalError, FineTuningFailedError, ItemsRejectedError, UnexpectedStateError, OSError) as error:
        return failed(error, 1)
    except (KeyboardInterrupt, StoppedError):
        return failed("stopped; the same command goes on from here", 130)
    return 0


def _plan(train: Path | None, test: Path | None) -> Plan:
    if train is None or test is None:
        texts = demo_texts()
        train_rows, test_rows = texts.train, texts.test
        labels = sorted({row.label for row in train_rows if row.label})
        source = f"docstrings of this machine's scientific Python libraries. The label is the topic: {_either(labels)}"
    else:
        train_rows, test_rows = (list(read_items(file, label=True)) for file in (train, test))
        source = f"from {train} and {test}"
    rounds = max(0, min(MOST_LABELS, len(train_rows)) - START) // STEP
    options = SimulationOptions(
        acquisitions=(CHOSEN, RANDOM), start=START, step=STEP, rounds=rounds, seeds=SEEDS, keep_projects=True
    )
    task = task_of(train_rows, test_rows, options)
    return Plan(task, options, f"{len(task.train):,} to choose from and {len(task.test):,} to test on, {source}")


def _either(labels: list[str]) -> str:
    return f"{', '.join(labels[:-1])} or {labels[-1]}"


def _play(plan: Plan, args: argparse.Namespace) -> tuple[Curves, FineTuned]:
    options = plan.options
    tell("[2/5] The suite: embedder, selector, trainer and Redis, each a process of its own on this machine.")
    with suite(args, tell) as client:
        tell("[3/5] Embedding: a small transformer (MiniLM) turns every text into a vector, once.")
        simulation = Simulation(client, plan.task, options, args.out, tell)
        simulation.embed(None)
        tell(
            f"[4/5] Labeling: {options.start} random labels, then {options.step} more at a time up to "
            f"{options.final:,}, chosen by {CHOSEN} (where the model is least sure) or at random; the model, a "
            f"logistic regression, is refit each time. {options.seeds} runs of both."
        )
        curves = simulation.finish(None)
        project = simulation.labeled_project(CHOSEN, 0)
        tell(f"[5/5] Fine-tuning: the whole transformer, once, on the {options.final:,} labels that {CHOSEN} chose.")
        tuned = fine_tune(client, project, plan.task.test, progress=None)
        keep(args.out / "fine_tuning.json", tuned)
    return curves, tuned


def _results(curves: Curves, tuned: FineTuned, plan: Plan, out: Path) -> str:
    """Returns what is printed at the end, and writes the pictures and the summary."""
    lines = {name: curves.curve(name) for name in (CHOSEN, RANDOM)}
    plot = text_plot([Line(name, line.labels, line.mean("accuracy")) for name, line in lines.items()])
    written = present(curves, out, f"AL+LR, {plan.options.backbone}: the demonstration").rpartition("written: ")[2]
    rows = []
    for name in (RANDOM, CHOSEN):
        line = lines[name]
        cells = [
            f"{line.mean(field)[-1] * 100:.1f} ± {line.std(field)[-1] * 100:.1f}" for field in ("accuracy", "macro_f1")
        ]
        rows.append([f"logistic regression, labels chosen by {name}", *cells, f"{line.mean('fit_s').sum():.1f} s"])
    cells = [f"{value * 100:.1f}" for value in (tuned.accuracy, tuned.macro_f1)]
    rows.append([f"fine-tuned transformer, labels chosen by {CHOSEN}", *cells, f"{tuned.seconds:.1f} s"])
    header = [f"after {tuned.labels:,} labels", "accuracy, %", "macro-F1, %", "fitting, in all"]
    return (
        f"\nAccuracy on the test items, by number of labels (mean of {plan.options.seeds} runs):\n\n{plot}\n\n"
        f"{table(header, rows)}\n\n"
        f"written: {written}"
        "next: prepal simulate --help compares acquisition functions on your own texts; prepal up runs the suite for "
        "a labeling tool\n"
    )
