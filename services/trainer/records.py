"""How a job is written in Redis, and read.

Keys (one slot of a Redis Cluster, by the braces):
    prepal:{jobs}:job:<id>           hash: definition (JSON), state, progress, result, and who works on it (scripts.py)
    prepal:{jobs}:lease:<id>         the token of the attempt that runs the job; expires unless it is renewed
    prepal:{jobs}:all                sorted set: job id -> creation time in ms
    prepal:{jobs}:project:<name>     the same for one project
    prepal:{jobs}:open               set: jobs that have not ended
    prepal:{jobs}:request:<digest>   what a request id was answered with, for a day
    prepal:{jobs}:changes            channel: the id of each job that changed
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.trainer.errors import JobNotFound
from services.trainer.job import Definition, Failure, FailureReason, Job, JobState, Progress
from services.trainer.metrics import Metrics

_PREFIX = "prepal:{jobs}:"
CHANGES = _PREFIX + "changes"
ALL = _PREFIX + "all"
OPEN = _PREFIX + "open"
REQUEST_SECONDS = 24 * 3600
# A job that dies this often in a row without one new checkpoint between is taken to kill its workers.
FRUITLESS_ATTEMPTS = 3


def job_key(job_id: str) -> str:
    """Returns the key of a job's hash."""
    return _PREFIX + "job:" + job_id


def lease_key(job_id: str) -> str:
    """Returns the key of a job's lease."""
    return _PREFIX + "lease:" + job_id


def project_key(project: str) -> str:
    """Returns the key of a project's jobs."""
    return _PREFIX + "project:" + project


def request_key(request_id: str) -> str:
    """Returns the key of what a request id was answered with."""
    return _PREFIX + "request:" + hashlib.sha256(request_id.encode()).hexdigest()


def now() -> str:
    """Returns the time in seconds since the epoch."""
    return repr(time.time())


def milliseconds(seconds: float) -> str:
    """Returns a duration as Redis takes it, at least 1."""
    return str(max(1, int(seconds * 1000)))


def worker_died() -> str:
    """Returns the result of a job that keeps killing its workers."""
    message = (
        f"{FRUITLESS_ATTEMPTS} attempts in a row ended with the death of their worker before they reached a new "
        "checkpoint; most often memory runs out: lower recipe.batch_size or recipe.max_length"
    )
    return failure_result(Failure(FailureReason.WORKER_DIED, message))


def failure_result(failure: Failure) -> str:
    """Returns the result of a failed job."""
    return json.dumps({"reason": failure.reason.value, "message": failure.message}, ensure_ascii=False)


def progress_fields(progress: Progress) -> list[str]:
    """Returns fields and values of a job's hash, one after the other."""
    fields = {"step": str(progress.step), "total": str(progress.total_steps), "epoch": repr(progress.epoch)}
    if progress.loss is not None:
        fields["loss"] = repr(progress.loss)
    return [word for pair in fields.items() for word in pair]


def read_job(job_id: str, values: Mapping[Any, Any]) -> Job:
    """Returns the job that a hash holds. Raises JobNotFound for an empty one."""
    if not values:
        raise not_found(job_id)
    state = JobState(values["state"])
    result = json.loads(values.get("result") or "{}")
    metrics = result.get("metrics")
    return Job(
        definition=Definition.from_json(json.loads(values["definition"])),
        state=state,
        progress=Progress(
            step=int(values.get("step", 0)),
            total_steps=int(values.get("total", 0)),
            epoch=float(values.get("epoch", 0)),
            loss=float(values["loss"]) if "loss" in values else None,
        ),
        metrics=Metrics.from_json(metrics) if metrics else None,
        failure=Failure(FailureReason(result["reason"]), result["message"]) if state == JobState.FAILED else None,
        started_at=_time(values.get("started")),
        ended_at=_time(values.get("ended")),
        training_seconds=float(result.get("seconds", 0.0)),
        attempts=int(values.get("attempts", 0)),
    )


def not_found(job_id: str) -> JobNotFound:
    """Returns the error for a job that is not there."""
    return JobNotFound(f"there is no job {job_id[:64]!r}")


def _time(seconds: str | None) -> datetime | None:
    return datetime.fromtimestamp(float(seconds), UTC) if seconds else None
