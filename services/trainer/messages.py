"""Jobs as messages of prepal.v1, and orders out of them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from prepal.v1 import trainer_pb2

from services.serving import Checks
from services.trainer.inputs import EvaluationText
from services.trainer.job import Job, JobState
from services.trainer.recipe import Recipe
from services.trainer.start import Order

MAX_EVALUATION: Final = 100_000
MAX_TEXT_CHARACTERS: Final = 100_000
MAX_ID_BYTES: Final = 256
MAX_BACKBONE_BYTES: Final = 4096

_STATES: Final = {
    JobState.QUEUED: trainer_pb2.JOB_STATE_QUEUED,
    JobState.RUNNING: trainer_pb2.JOB_STATE_RUNNING,
    JobState.SUCCEEDED: trainer_pb2.JOB_STATE_SUCCEEDED,
    JobState.FAILED: trainer_pb2.JOB_STATE_FAILED,
    JobState.CANCELLED: trainer_pb2.JOB_STATE_CANCELLED,
}


def job_message(job: Job) -> trainer_pb2.Job:
    """Returns a job as the contract has it."""
    definition, recipe = job.definition, job.definition.recipe
    message = trainer_pb2.Job(
        id=definition.id,
        project=definition.project,
        state=_STATES[job.state],
        backbone=definition.backbone,
        recipe=trainer_pb2.Recipe(
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            warmup_ratio=recipe.warmup_ratio,
            max_length=recipe.max_length,
            seed=recipe.seed,
        ),
        labels=definition.labels,
        items=definition.items,
        progress=trainer_pb2.JobProgress(
            step=job.progress.step,
            total_steps=job.progress.total_steps,
            epoch=job.progress.epoch,
            loss=job.progress.loss,
        ),
        created_at=_timestamp(definition.created_at),
        started_at=_timestamp(job.started_at),
        ended_at=_timestamp(job.ended_at),
        training_seconds=job.training_seconds,
        attempts=job.attempts,
    )
    if job.metrics is not None:
        message.metrics.CopyFrom(
            trainer_pb2.JobMetrics(
                accuracy=job.metrics.accuracy,
                macro_f1=job.metrics.macro_f1,
                loss=job.metrics.loss,
                items=job.metrics.items,
            )
        )
    if job.failure is not None:
        message.error.CopyFrom(trainer_pb2.JobError(reason=job.failure.reason.value, message=job.failure.message))
    return message


def order_from(request: trainer_pb2.StartJobRequest, digest: str) -> Order:
    """Returns what a StartJob wants. Raises InvalidRequest that names every field at fault."""
    checks = Checks()
    checks.name("project", request.project)
    checks.at_most_bytes("backbone", request.backbone, MAX_BACKBONE_BYTES)
    checks.at_most_bytes("request_id", request.request_id, MAX_ID_BYTES)
    recipe, max_length = _recipe(request.recipe)
    for field, message in recipe.problems():
        checks.refuse(field, message)
    if len(request.evaluation) > MAX_EVALUATION:
        checks.refuse(
            "evaluation",
            f"evaluation must have at most {MAX_EVALUATION:,} texts, got {len(request.evaluation):,}; send a sample",
        )
    else:
        for place, one in enumerate(request.evaluation):
            _check_text(checks, f"evaluation[{place}].text", one.text)
            if one.HasField("text_pair"):
                _check_text(checks, f"evaluation[{place}].text_pair", one.text_pair)
    checks.done()
    return Order(
        project=request.project,
        backbone=request.backbone,
        recipe=recipe,
        max_length=max_length,
        evaluation=[
            EvaluationText(one.text, one.text_pair if one.HasField("text_pair") else None, one.label)
            for one in request.evaluation
        ],
        request_id=request.request_id,
        digest=digest,
    )


def _recipe(message: trainer_pb2.Recipe) -> tuple[Recipe, int | None]:
    defaults = Recipe()
    max_length = message.max_length if message.HasField("max_length") else None
    return (
        Recipe(
            epochs=message.epochs if message.HasField("epochs") else defaults.epochs,
            batch_size=message.batch_size if message.HasField("batch_size") else defaults.batch_size,
            learning_rate=message.learning_rate if message.HasField("learning_rate") else defaults.learning_rate,
            weight_decay=message.weight_decay if message.HasField("weight_decay") else defaults.weight_decay,
            warmup_ratio=message.warmup_ratio if message.HasField("warmup_ratio") else defaults.warmup_ratio,
            max_length=max_length if max_length is not None else defaults.max_length,
            seed=message.seed if message.HasField("seed") else defaults.seed,
        ),
        max_length,
    )


def _check_text(checks: Checks, field: str, text: str) -> None:
    checks.not_empty(field, text)
    if len(text) > MAX_TEXT_CHARACTERS:
        checks.refuse(field, f"{field} must be at most {MAX_TEXT_CHARACTERS:,} characters long, got {len(text):,}")


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
