"""A simulation's folder: its configuration, what each run selected and measured, and the curves.

```
DIR/simulation.json              the configuration and the name of the simulation on the server
DIR/runs/<acquisition>-<seed>.jsonl   what each run selected and measured, a line each, as it comes
DIR/curves.csv ...               what the runs measured, together
DIR/stopping.csv                 what their heads said about stopping
```
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from prepal.simulation.curves import Curves, Point, write_aside, write_curves
from prepal.simulation.options import SimulationOptions
from prepal.simulation.stopping import StopPoint, stopping_csv
from prepal.simulation.task import Task, digest

# curves.csv is written anew at most this often while points come, in seconds.
REFRESH = 1.0


class OtherSimulationError(Exception):
    """The folder holds a simulation of another configuration, or something else."""


Configuration = Mapping[str, object]


def configuration(task: Task, options: SimulationOptions, protocol: str) -> Configuration:
    """Returns what decides a simulation's points, as JSON values."""
    found = {
        "protocol": protocol,
        "acquisitions": list(options.acquisitions),
        "start": options.start,
        "step": options.step,
        "rounds": options.rounds,
        "seeds": options.seeds,
        "backbone": options.backbone,
        "parameters": {name: value for name, value in asdict(options.parameters).items() if value is not None},
        "head": {"kind": type(options.head).__name__, **asdict(options.head)},
        "cold_start": options.cold_start,
        "pairs": options.pairs if task.pairs else None,
        "train": f"{len(task.train):,} items, digest {digest(task.train, labels=True)}",
        "test": f"{len(task.test):,} items, digest {digest(task.test, labels=True)}",
    }
    # As it comes back from the file: tuples become lists.
    values: Configuration = json.loads(json.dumps(found))
    return values


class RunLog:
    """What one run selected and measured so far, and the file that keeps it.

    Attributes:
        selected: Item ids of each round's selection, in the order of the rounds.
        points: What was measured in each round; as long as `selected`, or one shorter.
        stopping: What its heads said about stopping, by number of labels.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.selected: list[list[str]] = []
        self.points: list[Point] = []
        self.stopping: dict[int, StopPoint] = {}
        whole = 0
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                # A process that ends while it writes leaves half a line, which is done again.
                if not line.endswith(b"\n") or not self._take(line):
                    break
                whole += len(line)
            with path.open("r+b") as stream:
                stream.truncate(whole)

    def _take(self, line: bytes) -> bool:
        try:
            entry = json.loads(line)
            if "selected" in entry:
                self.selected.append([str(item_id) for item_id in entry["selected"]])
            elif "stopping" in entry:
                stop = StopPoint(**entry["stopping"])
                self.stopping[stop.labels] = stop
            else:
                self.points.append(Point(**entry["point"]))
        except (ValueError, TypeError, KeyError):
            return False
        return True

    def select(self, item_ids: list[str]) -> None:
        """Keeps a round's selection; before any of its labels is recorded, so that a resumed run records the same."""
        self._append({"selected": item_ids})
        self.selected.append(item_ids)

    def measure(self, point: Point) -> None:
        """Keeps a round's point."""
        self._append({"point": asdict(point)})
        self.points.append(point)

    def stop(self, point: StopPoint) -> None:
        """Keeps what a head said about stopping; repeating it changes nothing."""
        self._append({"stopping": asdict(point)})
        self.stopping[point.labels] = point

    def _append(self, entry: Mapping[str, object]) -> None:
        with self._path.open("ab") as stream:
            stream.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")


class Folder:
    """A simulation's folder.

    Args:
        path: The folder; made when it is not there.
        task: The items of the simulation.
        options: Its options.
        protocol: Its protocol.

    Attributes:
        path: The folder.
        name: The simulation's name on the server, drawn once.

    Raises:
        OtherSimulationError: The folder holds a simulation of another configuration, or files that are none of ours.
    """

    def __init__(self, path: Path, task: Task, options: SimulationOptions, protocol: str) -> None:
        self.path = path
        self.name = _claim(path, configuration(task, options, protocol))
        self._options = options
        self._lock = threading.Lock()
        self._logs: dict[tuple[str, int], RunLog] = {}
        self._written = 0.0
        (path / "runs").mkdir(exist_ok=True)

    def log(self, acquisition: str, seed: int) -> RunLog:
        """Returns the log of one run."""
        with self._lock:
            log = self._logs.get((acquisition, seed))
            if log is None:
                log = self._logs[acquisition, seed] = RunLog(self.path / "runs" / f"{acquisition}-{seed}.jsonl")
            return log

    def curves(self) -> Curves:
        """Returns all points there are, by acquisition and seed as the configuration orders them."""
        runs = ((name, seed) for name in self._options.acquisitions for seed in range(self._options.seeds))
        logs = [self.log(name, seed) for name, seed in runs]
        return Curves(
            tuple(point for log in logs for point in log.points),
            tuple(stop for log in logs for stop in log.stopping.values()),
        )

    def write_curves(self, *, now: bool) -> None:
        """Writes curves.csv; unless `now`, only when it is a second old: long runs bring points by the thousand."""
        if not now and time.monotonic() - self._written < REFRESH:
            return
        curves = self.curves()
        with self._lock:
            write_curves(self.path / "curves.csv", curves.points)
            write_aside(self.path / "stopping.csv", stopping_csv(curves.stopping).encode())
            self._written = time.monotonic()


def _claim(path: Path, wanted: Configuration) -> str:
    """Returns the simulation's name, after checking that the folder is its own or empty."""
    file = path / "simulation.json"
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            # Names of files that come from us are written over; anything else is somebody's.
            strangers = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
            if strangers:
                raise OtherSimulationError(
                    f"{path} holds {strangers[0]} but no simulation; name an empty folder, or one that is not there"
                )
            name = secrets.token_hex(6)
            write_aside(file, json.dumps({"name": name, "configuration": wanted}, indent=2).encode() + b"\n")
            return name
        kept = json.loads(file.read_bytes())
        name, configuration = kept["name"], kept["configuration"]
    except (ValueError, KeyError, TypeError) as error:
        raise OtherSimulationError(f"{file} cannot be read ({error}); name another folder") from error
    except OSError as error:
        raise OtherSimulationError(f"{path} cannot be used: {error.strerror}; name another folder") from error
    differences = [
        f"{field} was {configuration.get(field)}, now {wanted.get(field)}"
        for field in dict.fromkeys([*wanted, *configuration])
        if configuration.get(field) != wanted.get(field)
    ]
    if differences:
        raise OtherSimulationError(
            f"{path} holds a simulation of another configuration: {'; '.join(differences)}. Name another folder, or "
            "remove this one"
        )
    return str(name)
