"""One run of a simulation: one acquisition, one seed, from the random start to the last round."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prepal import errors
from prepal._sync.client import Client
from prepal.simulation.curves import Point
from prepal.simulation.folder import RunLog
from prepal.simulation.metrics import accuracy, macro_f1
from prepal.simulation.options import SimulationOptions
from prepal.simulation.patience import Patiently
from prepal.simulation.stopping import stop_point
from prepal.simulation.task import Task
from prepal.values.selection import Selection

AL_LR = "AL+LR"
ANNOTATOR = "simulation"


@dataclass(frozen=True, slots=True)
class Exam:
    """The test pool and the truth about it.

    Attributes:
        pool: The test pool's name.
        truth: True classes by item id, positions in the task's labels.
    """

    pool: str
    truth: Mapping[str, int]


class UnexpectedStateError(Exception):
    """The server answered what a simulation's own project cannot lead to: somebody else changed it."""


class Run:
    """AL+LR: the head chooses the items, and the head is what is evaluated.

    A round records the true labels of what was selected, asks for the next items (which fits the head, and measures
    how long that takes), evaluates the head on the test pool, and keeps the point. Each step is logged before the next
    one that depends on it, and can be repeated: a run that was killed goes on where it was.

    Args:
        client: Connected to the suite.
        task: The items.
        options: The simulation's options.
        acquisition: What chooses.
        seed: What the random start, and every random choice, derives from.
        project: The project's name, of this run alone.
        pool: The train pool's name.
        exam: What the head is evaluated on.
        log: What the run did before.
        patiently: Makes the calls.
    """

    def __init__(
        self,
        client: Client,
        task: Task,
        options: SimulationOptions,
        *,
        acquisition: str,
        seed: int,
        project: str,
        pool: str,
        exam: Exam,
        log: RunLog,
        patiently: Patiently,
    ) -> None:
        self._client = client
        self._task = task
        self._options = options
        self._acquisition = acquisition
        self._seed = seed
        self._project = project
        self._pool = pool
        self._exam = exam
        self._log = log
        self._patiently = patiently
        self._labels = {row.id: row.label for row in task.train if row.label}

    def finish(self, on_point: Callable[[Point], None]) -> None:
        """Plays every round that is missing.

        Args:
            on_point: Is given each new point after it is kept.

        Raises:
            PrepalError: A call failed for good.
            StoppedError: Somebody asked to stop.
            UnexpectedStateError: Fewer items came back than were asked for.
        """
        log = self._log
        if len(log.points) > self._options.rounds:
            return
        self.restore()
        if len(log.selected) == len(log.points):
            log.select(self._selected(self._select(len(log.points))))
        while True:
            round_ = len(log.points)
            self._record(log.selected[round_])
            following = self._select(round_ + 1)
            point = self._measure(following)
            log.measure(point)
            on_point(point)
            if round_ == self._options.rounds:
                return
            log.select(self._selected(following))

    def restore(self) -> None:
        """Brings the project to what the log says, whatever the server has: no project, or one with other labels.

        Raises:
            PrepalError: A call failed for good.
            StoppedError: Somebody asked to stop.
        """
        log, client, project = self._log, self._client, self._project
        done = log.selected[: len(log.points)]
        planned = {item_id for selection in log.selected for item_id in selection}
        try:
            there = {label.item_id for label in self._patiently(lambda: list(client.list_labels(project)))}
        except errors.NotFound:
            there = None
        # Labels of the newest selection may or may not be recorded; all before it must be, and nothing else.
        if there is not None and {item_id for selection in done for item_id in selection} <= there <= planned:
            return
        if there is not None:
            self._patiently(lambda: client.delete_project(project))
        self._patiently(
            lambda: client.create_project(
                project,
                pool=self._pool,
                labels=self._task.labels,
                acquisition=self._acquisition,
                cold_start=self._options.cold_start,
                parameters=self._options.parameters,
                head=self._options.head,
                reservation=0,
            )
        )
        for selection in done:
            self._record(selection)
            # A head is fit from the one before it, so each must be fit again for the next to come out the same.
            self._predict_item(selection[0])

    def _record(self, item_ids: list[str]) -> None:
        labels = {item_id: self._labels[item_id] for item_id in item_ids}
        self._patiently(lambda: self._client.record_labels(self._project, labels, annotator=ANNOTATOR))

    def _select(self, round_: int) -> Selection:
        """Asks for a round's items: round 0 is the start, the same for every acquisition of a seed."""
        options = self._options
        k, acquisition = (options.step, self._acquisition) if round_ else (options.start, options.cold_start)
        return self._patiently(
            lambda: self._client.select(
                self._project,
                k,
                acquisition=acquisition,
                annotator=ANNOTATOR,
                reservation=0,
                seed=_seed(self._seed, round_),
                request_id=f"{self._project}/{round_}",
            )
        )

    def _selected(self, selection: Selection) -> list[str]:
        wanted = self._options.step if self._log.selected else self._options.start
        if len(selection.ids) != wanted or not set(selection.ids) <= set(self._labels):
            raise UnexpectedStateError(
                f"project {self._project} answered {len(selection.ids)} items of pool {self._pool} where "
                f"{wanted} of the train items were due; somebody else changed one of the two. Name another folder"
            )
        return selection.ids

    def _measure(self, following: Selection) -> Point:
        predicted, true = self._predict()
        labels = self._options.start + len(self._log.points) * self._options.step
        self._note_stopping(labels)
        timing = following.timing
        return Point(
            protocol=AL_LR,
            acquisition=self._acquisition,
            seed=self._seed,
            labels=labels,
            accuracy=accuracy(true, predicted),
            macro_f1=macro_f1(true, predicted),
            fit_s=timing.fit,
            acquire_s=timing.score + timing.pick + timing.fetch,
        )

    def _note_stopping(self, labels: int) -> None:
        """Keeps what the head of so many labels says about stopping, where it was compared with one before."""
        stopping = self._patiently(lambda: self._client.get_project(self._project)).stopping
        if stopping and stopping[-1].labeled == labels:
            self._log.stop(stop_point(AL_LR, self._acquisition, self._seed, stopping[-1]))

    def _predict(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Returns predicted and true classes of the test pool, positions in the task's labels, shape (N,) each."""
        try:
            predictions = self._patiently(lambda: self._client.predict(self._project, pool=self._exam.pool))
        except errors.FailedPrecondition as error:
            if error.reason != "HEAD_NOT_FIT":
                raise
            # With labels of one class there is nothing to fit, and nothing else to predict.
            only = self._labels[self._log.selected[0][0]]
            truth = np.fromiter(self._exam.truth.values(), np.intp)
            return np.full(len(truth), self._task.labels.index(only), np.intp), truth
        truth = np.array([self._exam.truth[item_id] for item_id in predictions.ids], np.intp)
        if len(truth) != len(self._exam.truth):
            raise UnexpectedStateError(
                f"pool {self._exam.pool} has {len(truth):,} items where {len(self._exam.truth):,} were added; somebody "
                "else changed it"
            )
        return predictions.probabilities.argmax(axis=1), truth

    def _predict_item(self, item_id: str) -> None:
        try:
            self._patiently(lambda: self._client.predict(self._project, items=[item_id]))
        except errors.FailedPrecondition as error:
            if error.reason != "HEAD_NOT_FIT":
                raise


def _seed(seed: int, round_: int) -> int:
    """Returns the seed of one round's random choices, 0 to 2^63 - 1; neighbours share nothing."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{round_}".encode()).digest()[:8]) >> 1
