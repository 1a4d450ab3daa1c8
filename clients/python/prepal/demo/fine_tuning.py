"""The last step of PRepAL: a transformer fine-tuned once, on the labels that were chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from prepal._sync.client import Client
from prepal.progress import Bar
from prepal.simulation.curves import write_aside
from prepal.simulation.datafile import Row
from prepal.values.enums import JobState
from prepal.values.job import Job, LabeledText

EPOCHS = 3


class FineTuningFailedError(Exception):
    """The job ended without a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuned:
    """What a fine-tuned transformer reached on the test items.

    Attributes:
        job: The job's id.
        labels: Labels it learned from.
        accuracy: Share of test items predicted right, 0 to 1.
        macro_f1: Unweighted mean of F1 over classes, 0 to 1.
        seconds: Seconds of training.
    """

    job: str
    labels: int
    accuracy: float
    macro_f1: float
    seconds: float


def fine_tune(client: Client, project: str, test: Sequence[Row], *, progress: bool | None) -> FineTuned:
    """Fine-tunes the pool's backbone on a project's labels and evaluates it on the test items.

    Repeating it within a day follows the same job, wherever that is. Ctrl-C cancels the job.

    Args:
        client: Connected to the suite.
        project: The project with the labels.
        test: Items to evaluate on, each with its label.
        progress: Whether a bar is shown on stderr; None shows one if stderr is a terminal.

    Raises:
        FineTuningFailedError: The job failed, or somebody else cancelled it.
        PrepalError: A call failed for good.
    """
    job = _start(client, project, test, f"{project}/fine-tuning")
    if job.state in (JobState.FAILED, JobState.CANCELLED):
        # An earlier job of this name is no answer any more; a client's own id starts another.
        job = _start(client, project, test, None)
    try:
        with Bar(progress, "fine-tuning", "steps") as bar:
            for newest in client.watch_job(job.id):
                job = newest
                loss = job.progress.loss
                note = job.state if loss is None else f"{job.state}, loss {loss:.3f}"
                bar.to(job.progress.step, total=job.progress.total_steps or None, note=note)
    except KeyboardInterrupt:
        client.cancel_job(job.id)
        raise
    if job.metrics is None:
        raise FineTuningFailedError(f"job {job.id} {job.state}: {job.error.message if job.error else 'no metrics'}")
    return FineTuned(
        job=job.id,
        labels=job.items,
        accuracy=job.metrics.accuracy,
        macro_f1=job.metrics.macro_f1,
        seconds=job.training_seconds,
    )


def _start(client: Client, project: str, test: Sequence[Row], request_id: str | None) -> Job:
    evaluation = [LabeledText(row.text, row.label, row.text_pair) for row in test if row.label]
    return client.start_job(project, epochs=EPOCHS, evaluation=evaluation, request_id=request_id)


def kept(path: Path) -> FineTuned | None:
    """Returns what `keep` wrote; None when there is nothing that can be read."""
    try:
        return FineTuned(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def keep(path: Path, result: FineTuned) -> None:
    """Writes a result, so that showing it again needs no suite."""
    write_aside(path, json.dumps(asdict(result)).encode() + b"\n")
