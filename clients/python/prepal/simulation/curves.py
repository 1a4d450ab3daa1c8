"""What a simulation measured: points on learning curves, kept as CSV and averaged over seeds."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prepal.simulation.stopping import StopPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run of a simulation at one number of labels.

    Attributes:
        protocol: How the run refits, "AL+LR".
        acquisition: What chose the items, "max_entropy".
        seed: The run's seed.
        labels: Labels the head has seen.
        accuracy: Share of test items predicted right, 0 to 1.
        macro_f1: Unweighted mean of F1 over classes on the test items, 0 to 1.
        fit_s: Seconds the server spent on the head for these labels, as the Select after them reports it. 0 when that
            Select needed no head.
        acquire_s: Seconds the server spent to score the pool with this head and to pick and fetch the next items: the
            other parts of the same Select.
    """

    protocol: str
    acquisition: str
    seed: int
    labels: int
    accuracy: float
    macro_f1: float
    fit_s: float
    acquire_s: float


COLUMNS = tuple(field.name for field in fields(Point))


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one protocol and acquisition, averaged over the seeds that have all of them.

    Attributes:
        protocol: The protocol.
        acquisition: The acquisition.
        seeds: The seeds averaged.
        labels: Numbers of labels, ascending, shape (P,).
        values: Point fields by seed, float64, shape (seeds, P) each.
    """

    protocol: str
    acquisition: str
    seeds: tuple[int, ...]
    labels: npt.NDArray[np.int64]
    values: dict[str, npt.NDArray[np.float64]]

    def mean(self, field: str) -> npt.NDArray[np.float64]:
        """Returns the mean over seeds of "accuracy", "macro_f1", "fit_s" or "acquire_s", shape (P,)."""
        means: npt.NDArray[np.float64] = np.mean(self.values[field], axis=0)
        return means

    def std(self, field: str) -> npt.NDArray[np.float64]:
        """Returns the standard deviation over seeds (the sample's, 0 for one seed), shape (P,)."""
        values = self.values[field]
        return np.std(values, axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])


@dataclass(frozen=True, slots=True)
class Curves:
    """All points of a simulation, in order of protocol, acquisition, seed and labels as the options name them.

    Attributes:
        points: The points.
        stopping: What the heads of the runs said about stopping.
    """

    points: tuple[Point, ...]
    stopping: tuple[StopPoint, ...] = ()

    def curve(self, acquisition: str, protocol: str = "AL+LR") -> Curve:
        """Returns one averaged curve.

        Raises:
            KeyError: There are no points of it.
        """
        runs: dict[int, dict[int, Point]] = {}
        for point in self.points:
            if (point.protocol, point.acquisition) == (protocol, acquisition):
                runs.setdefault(point.seed, {})[point.labels] = point
        if not runs:
            raise KeyError(f"no points of {protocol} with {acquisition}")
        # A run that was stopped half way would bend the mean where it ends: only label counts that all runs have.
        labels = sorted(set.intersection(*(set(run) for run in runs.values())))
        return Curve(
            protocol=protocol,
            acquisition=acquisition,
            seeds=tuple(runs),
            labels=np.array(labels, dtype=np.int64),
            values={
                name: np.array([[getattr(run[count], name) for count in labels] for run in runs.values()], np.float64)
                for name in ("accuracy", "macro_f1", "fit_s", "acquire_s")
            },
        )

    def all_curves(self) -> list[Curve]:
        """Returns every averaged curve, in the order of the points."""
        return [
            self.curve(acquisition, protocol)
            for protocol, acquisition in dict.fromkeys((point.protocol, point.acquisition) for point in self.points)
        ]


def write_curves(path: Path, points: Iterable[Point]) -> None:
    """Writes points as CSV; whoever reads the file sees the old points or the new ones, never a part."""
    lines = [",".join(COLUMNS)]
    for point in points:
        cells = [
            f"{value:.6f}" if isinstance(value, float) else str(value)
            for value in (getattr(point, name) for name in COLUMNS)
        ]
        lines.append(",".join(cells))
    write_aside(path, ("\n".join(lines) + "\n").encode())


def read_curves(path: Path) -> Curves:
    """Reads what `write_curves` wrote.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is not one of curves; the message names the line.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path}: the columns must be {', '.join(COLUMNS)}, got {reader.fieldnames}")
        points = []
        for row in reader:
            try:
                points.append(_point(row))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    return Curves(tuple(points))


def _point(row: dict[str, str]) -> Point:
    return Point(
        protocol=row["protocol"],
        acquisition=row["acquisition"],
        seed=int(row["seed"]),
        labels=int(row["labels"]),
        accuracy=float(row["accuracy"]),
        macro_f1=float(row["macro_f1"]),
        fit_s=float(row["fit_s"]),
        acquire_s=float(row["acquire_s"]),
    )


def write_aside(path: Path, data: bytes) -> None:
    """Writes a file aside and puts it in its place in one step."""
    descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        # mkstemp makes files that only their owner reads; results are for everybody the folder is for.
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def first_reaching(
    labels: Sequence[int] | npt.NDArray[np.int64], values: npt.NDArray[np.float64], goal: float
) -> int | None:
    """Returns the first number of labels at which a curve is at least `goal`, or None when it never is.

    Args:
        labels: Numbers of labels, ascending, shape (P,).
        values: The curve, shape (P,).
        goal: What is to be reached.
    """
    reached = np.flatnonzero(values >= goal)
    return int(labels[reached[0]]) if reached.size else None
