"""What a job is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from services.trainer.metrics import Metrics
from services.trainer.recipe import Recipe


class JobState(StrEnum):
    """The state of a job; SUCCEEDED, FAILED and CANCELLED are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether a job in this state never changes again."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class FailureReason(StrEnum):
    """Why a job failed; the values are part of the contract."""

    BACKBONE_NOT_LOADABLE = "BACKBONE_NOT_LOADABLE"
    DIVERGED = "DIVERGED"
    OUT_OF_DISK = "OUT_OF_DISK"
    ITEMS_MISSING = "ITEMS_MISSING"
    WORKER_DIED = "WORKER_DIED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed, with a sentence for a person."""

    reason: FailureReason
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a job is.

    Attributes:
        step: optimizer steps done.
        total_steps: optimizer steps in all, 0 until known.
        epoch: passes done, with a fraction.
        loss: the newest training loss, None until there is one.
    """

    step: int = 0
    total_steps: int = 0
    epoch: float = 0.0
    loss: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """What a job is to do, which never changes.

    Attributes:
        id: the job's id, also the name of its folder.
        project: whose labels it learns.
        pool, incarnation: where the texts are; a pool that was deleted and made again has another incarnation.
        backbone: the transformer that is fine-tuned.
        recipe: the hyper-parameters.
        labels: the label set, in the order of the head's outputs.
        items: labeled items it learns from.
        evaluation_items: texts it is evaluated on.
        created_at: when it was acknowledged.
    """

    id: str
    project: str
    pool: str
    incarnation: str
    backbone: str
    recipe: Recipe
    labels: tuple[str, ...]
    items: int
    evaluation_items: int
    created_at: datetime

    def to_json(self) -> dict[str, Any]:
        """Returns the definition as JSON values."""
        return {
            "id": self.id,
            "project": self.project,
            "pool": self.pool,
            "incarnation": self.incarnation,
            "backbone": self.backbone,
            "recipe": self.recipe.to_json(),
            "labels": list(self.labels),
            "items": self.items,
            "evaluation_items": self.evaluation_items,
            "created_at": self.created_at.isoformat(),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Definition:
        """Returns the definition that `to_json` wrote."""
        return cls(
            id=values["id"],
            project=values["project"],
            pool=values["pool"],
            incarnation=values["incarnation"],
            backbone=values["backbone"],
            recipe=Recipe.from_json(values["recipe"]),
            labels=tuple(values["labels"]),
            items=values["items"],
            evaluation_items=values["evaluation_items"],
            created_at=datetime.fromisoformat(values["created_at"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job as it is at one moment.

    Attributes:
        definition: what it is to do.
        state: where it is in its life.
        progress: how far it is.
        metrics: what it reached; None without evaluation items or before it succeeded.
        failure: why it failed; None unless it did.
        started_at: when a worker last began it.
        ended_at: when it ended.
        training_seconds: seconds of training, 0 before it succeeded.
        attempts: times a worker has begun it.
    """

    definition: Definition
    state: JobState
    progress: Progress
    metrics: Metrics | None
    failure: Failure | None
    started_at: datetime | None
    ended_at: datetime | None
    training_seconds: float
    attempts: int

    @property
    def id(self) -> str:
        """The job's id."""
        return self.definition.id


def new_job_id(now: datetime) -> str:
    """Returns an id that sorts by time and is a good name of a folder, such as 20260731-142233-9f3a1c2b."""
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
