"""A whole simulation: pools, runs side by side, curves as they come."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

from prepal import errors
from prepal._sync.client import Client
from prepal.progress import Bar
from prepal.simulation.curves import Curves, Point
from prepal.simulation.datafile import Row
from prepal.simulation.folder import Folder
from prepal.simulation.options import SimulationOptions
from prepal.simulation.patience import Patiently
from prepal.simulation.run import AL_LR, Exam, Run
from prepal.simulation.task import Task, pool_name, task_of
from prepal.values.item import Item


class ItemsRejectedError(Exception):
    """The embedder did not take all items."""


def simulate(
    client: Client,
    train: Iterable[Row],
    test: Iterable[Row],
    options: SimulationOptions,
    *,
    out: str | Path | None = None,
    progress: bool | None = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Curves:
    """Simulates active learning on labeled items: every acquisition chooses, the known labels answer.

    The protocol is AL+LR of Vysogorets & Gopal (section 4): from `start` random labels, rounds of choosing `step` items
    with a head that is refit on all labels so far, which is evaluated on the test items each round. Items are embedded
    once; a later simulation of the same texts and backbone finds them embedded.

    With `out`, what was measured is kept, and the same call goes on where an earlier one ended, however it ended: the
    points are those of a run that was never disturbed. A service that is away for less than `options.patience` seconds
    is waited for.

    Args:
        client: Connected to a suite.
        train: Items to choose from, each with its label, as `read_items` gives them.
        test: Items to evaluate on, each with its label.
        options: What is simulated.
        out: A folder for the points: empty, not there yet, or of this same simulation. Unset keeps nothing.
        progress: Whether bars are shown on stderr; None shows them if stderr is a terminal.
        tell: Is given sentences for a person: what is resumed, what is waited for.

    Returns:
        All points, by acquisition, seed and number of labels.

    Raises:
        ValueError: The items do not suit the options; nothing was done.
        OtherSimulationError: `out` holds something else; nothing was done.
        ItemsRejectedError: The embedder refused items, which are named.
        PrepalError: A call failed for good. What was measured is kept.

    Example:
        >>> import prepal
        >>> from prepal.simulation import SimulationOptions, read_items, simulate
        >>> with prepal.local(data="data") as client:  # doctest: +SKIP
        ...     curves = simulate(
        ...         client,
        ...         read_items("train.tsv.gz", label=True),
        ...         read_items("test.tsv.gz", label=True),
        ...         SimulationOptions(acquisitions=["margin", "random"], seeds=5),
        ...         out="out/margin",
        ...         progress=True,
        ...     )
        >>> curves.curve("margin").mean("accuracy")  # doctest: +SKIP
        array([0.684, 0.701, ...])
    """
    task = task_of(train, test, options)
    if out is None:
        with tempfile.TemporaryDirectory() as folder:
            return Simulation(client, task, options, Path(folder), tell).finish(progress)
    return Simulation(client, task, options, Path(out), tell).finish(progress)


def kept_curves(task: Task, options: SimulationOptions, out: Path) -> Curves | None:
    """Returns the curves of a folder whose simulation is finished; None when something is missing, or the folder is.

    Raises:
        OtherSimulationError: The folder holds something else.
    """
    if not out.exists():
        return None
    curves = Folder(out, task, options, AL_LR).curves()
    return curves if len(curves.points) == options.points else None


class Simulation:
    """One simulation in its folder; `simulate` says what it does.

    Args:
        client: Connected to a suite.
        task: The items.
        options: What is simulated.
        out: The folder.
        tell: Is given sentences for a person.

    Raises:
        OtherSimulationError: The folder holds something else.
    """

    def __init__(
        self, client: Client, task: Task, options: SimulationOptions, out: Path, tell: Callable[[str], None]
    ) -> None:
        self._client = client
        self._task = task
        self._options = options
        self._folder = Folder(out, task, options, AL_LR)
        self._tell = tell
        self._stop = threading.Event()
        self._patiently = Patiently(options.patience, self._stop, tell)

    def labeled_project(self, acquisition: str, seed: int) -> str:
        """Returns the name of a finished run's project, with every label of the run: brought back where it is gone."""
        run = self._run(acquisition, seed, self._pool("train", self._task.train, False), Exam("", {}))
        run.restore()
        return self._project(acquisition, seed)

    def _project(self, acquisition: str, seed: int) -> str:
        return f"sim-{self._folder.name}-{acquisition}-{seed}"

    def embed(self, progress: bool | None) -> tuple[str, str]:
        """Makes and fills the pools of train and test items where they are not, and returns their names."""
        for state in self._client.health():
            # Before any patience: who forgot to start the suite wants to know at once.
            if state.service != "trainer" and not state.serving:
                raise errors.Unavailable(f"the {state.service} at {state.address} does not serve: {state.detail}")
        task = self._task
        return self._pool("train", task.train, progress), self._pool("test", task.test, progress)

    def finish(self, progress: bool | None) -> Curves:
        """Plays what is missing and returns all points."""
        points = len(self._folder.curves().points)
        if points == self._options.points:
            return self._folder.curves()
        if points:
            self._tell(f"going on after {points:,} of {self._options.points:,} points")
        for label in self._task.unlearnable:
            self._tell(f'label "{label}" is in test but never in train: its items cannot be predicted right')
        train, test = self.embed(progress)
        exam = Exam(test, {row.id: self._task.labels.index(str(row.label)) for row in self._task.test})
        left = self._options.points - points
        self._tell(f"playing {left:,} rounds of select, label and refit, {self._options.parallel} runs at a time")
        with Bar(progress, "simulating", "rounds", total=left) as bar:
            self._play([self._run(acquisition, seed, train, exam) for acquisition, seed in self._pairs()], bar)
        self._folder.write_curves(now=True)
        if not self._options.keep_projects:
            for acquisition, seed in self._pairs():
                self._patiently(partial(self._client.delete_project, self._project(acquisition, seed)))
        return self._folder.curves()

    def _pairs(self) -> list[tuple[str, int]]:
        """Returns (acquisition, seed) of every run; those of one seed together, so that all curves grow evenly."""
        return [(name, seed) for seed in range(self._options.seeds) for name in self._options.acquisitions]

    def _pool(self, part: str, rows: Sequence[Row], progress: bool | None) -> str:
        """Returns the name of the pool of these rows, made and filled where it is not."""
        name = pool_name(rows, self._options, pairs=self._task.pairs)
        pairs = self._options.pairs if self._task.pairs else None
        backbone = self._options.backbone
        pool = self._patiently(lambda: self._client.create_pool(name, backbone=backbone, pairs=pairs))
        if pool.items == len(rows):
            # The name says what is in it.
            return name
        self._tell(f"embedding {len(rows):,} {part} items with {backbone}")
        items = [Item(row.id, row.text, row.text_pair) for row in rows]
        result = self._patiently(lambda: self._client.add_items(name, items, progress=progress))
        if result.rejected:
            first = result.rejected[0]
            raise ItemsRejectedError(
                f"{len(result.rejected):,} of {len(rows):,} {part} items were refused, first {first.item_id!r:.80} "
                f"(line {rows[first.index].line:,}): {first.message}"
            )
        return name

    def _run(self, acquisition: str, seed: int, pool: str, exam: Exam) -> Run:
        return Run(
            self._client,
            self._task,
            self._options,
            acquisition=acquisition,
            seed=seed,
            project=self._project(acquisition, seed),
            pool=pool,
            exam=exam,
            log=self._folder.log(acquisition, seed),
            patiently=self._patiently,
        )

    def _play(self, runs: Sequence[Run], bar: Bar) -> None:
        """Finishes the runs, some at a time. The first that fails, or Ctrl-C, stops the others at their next step."""
        done = 0
        lock = threading.Lock()

        def on_point(_: Point) -> None:
            nonlocal done
            self._folder.write_curves(now=False)
            with lock:
                done += 1
                bar.to(done)

        with ThreadPoolExecutor(self._options.parallel, thread_name_prefix="run") as threads:
            futures: list[Future[None]] = [threads.submit(run.finish, on_point) for run in runs]
            try:
                finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
                failed = next((future for future in futures if future in finished and future.exception()), None)
                if failed is not None:
                    failed.result()
            finally:
                self._stop.set()
                threads.shutdown(cancel_futures=True)
                self._folder.write_curves(now=True)
        # The calls after the runs, which delete what is no longer needed, are made patiently again.
        self._stop.clear()
