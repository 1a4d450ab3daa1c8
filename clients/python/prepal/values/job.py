"""Fine-tuning jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from prepal.v1 import trainer_pb2
from prepal.values.enums import JobState, from_wire
from prepal.values.times import time_from


@dataclass(frozen=True, slots=True)
class LabeledText:
    """A text, or text pair, with its true label, for evaluation."""

    text: str
    label: str
    text_pair: str | None = None


Evaluated = LabeledText | tuple[str, str]
"""A text with its true label: a `LabeledText`, or (text, label)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The hyper-parameters of a job, defaults resolved; see `start_job` for what they mean."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_ratio: float
    max_length: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a job is: optimizer steps done and in all (0 until known), passes done, the newest training loss."""

    step: int
    total_steps: int
    epoch: float
    loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMetrics:
    """What a job reached on its evaluation items: shares from 0 to 1, mean cross-entropy in nats, how many items."""

    accuracy: float
    macro_f1: float
    loss: float
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed: a stable reason and a sentence for a person."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A fine-tuning job.

    Attributes:
        id: the server's id of the job.
        project: the project whose labels it learns.
        state: the state.
        backbone: the transformer that is fine-tuned.
        recipe: the hyper-parameters.
        labels: the label set, in the order of the head's outputs.
        items: labeled items it learns from.
        progress: how far it is.
        metrics: what it reached; None without evaluation items or before it succeeded.
        error: why it failed; None unless it did.
        created_at: when it was acknowledged.
        started_at: when a worker last began it; None before.
        ended_at: when it ended; None before.
        training_seconds: seconds of training, without loading and evaluation; 0 before it succeeded.
        attempts: times a worker has begun it; more than 1 means that a worker died.
    """

    id: str
    project: str
    state: JobState
    backbone: str
    recipe: Recipe
    labels: tuple[str, ...]
    items: int
    progress: JobProgress
    metrics: JobMetrics | None
    error: JobError | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    training_seconds: float
    attempts: int

    @property
    def ended(self) -> bool:
        """Whether the job has succeeded, failed or been cancelled."""
        return self.state.ended


def evaluated_to_message(entry: Evaluated) -> trainer_pb2.LabeledText:
    """Returns an evaluation item as a message.

    Raises:
        ValueError: when it is neither a `LabeledText` nor (text, label).
    """
    if isinstance(entry, LabeledText):
        return trainer_pb2.LabeledText(text=entry.text, text_pair=entry.text_pair, label=entry.label)
    if isinstance(entry, Sequence) and len(entry) == 2 and all(isinstance(part, str) for part in entry):
        return trainer_pb2.LabeledText(text=entry[0], label=entry[1])
    raise ValueError(f"an evaluation item must be a prepal.LabeledText or (text, label), got {entry!r:.80}")


def job_from_message(message: trainer_pb2.Job) -> Job:
    """Returns the job of a message."""
    recipe, progress = message.recipe, message.progress
    return Job(
        id=message.id,
        project=message.project,
        state=from_wire(JobState, message.state),
        backbone=message.backbone,
        recipe=Recipe(
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            warmup_ratio=recipe.warmup_ratio,
            max_length=recipe.max_length,
            seed=recipe.seed,
        ),
        labels=tuple(message.labels),
        items=message.items,
        progress=JobProgress(
            step=progress.step,
            total_steps=progress.total_steps,
            epoch=progress.epoch,
            loss=progress.loss if progress.HasField("loss") else None,
        ),
        metrics=_metrics_from_message(message.metrics) if message.HasField("metrics") else None,
        error=JobError(reason=message.error.reason, message=message.error.message)
        if message.HasField("error")
        else None,
        created_at=time_from(message.created_at),
        started_at=time_from(message.started_at) if message.HasField("started_at") else None,
        ended_at=time_from(message.ended_at) if message.HasField("ended_at") else None,
        training_seconds=message.training_seconds,
        attempts=message.attempts,
    )


def _metrics_from_message(message: trainer_pb2.JobMetrics) -> JobMetrics:
    return JobMetrics(accuracy=message.accuracy, macro_f1=message.macro_f1, loss=message.loss, items=message.items)
