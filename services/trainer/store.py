"""Jobs in Redis, as callers see them. Every change is one script that looks at the state first (scripts.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from services.trainer import scripts
from services.trainer.connection import reaching
from services.trainer.errors import JobNotEnded, RequestIdReused
from services.trainer.job import Definition, Job, JobState
from services.trainer.records import (
    ALL,
    CHANGES,
    FRUITLESS_ATTEMPTS,
    OPEN,
    REQUEST_SECONDS,
    job_key,
    lease_key,
    not_found,
    now,
    project_key,
    read_job,
    request_key,
    worker_died,
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued job and when it last was put into the queue, in seconds since the epoch."""

    job_id: str
    ticketed: float


class JobStore:
    """Keeps jobs; thread-safe. Every method raises StoreUnavailable while Redis is away.

    Args:
        client: of a Redis, answering with str.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._create = client.register_script(scripts.CREATE)
        self._cancel = client.register_script(scripts.CANCEL)
        self._delete = client.register_script(scripts.DELETE)
        self._recover = client.register_script(scripts.RECOVER)
        self._ticketed = client.register_script(scripts.TICKETED)

    def ping(self) -> None:
        """Asks Redis for an answer."""
        with reaching():
            self._redis.ping()

    def create(self, definition: Definition, *, request_id: str = "", request_digest: str = "") -> str:
        """Records a queued job and returns its id; for a request id that was used before, the first job's id.

        Raises:
            RequestIdReused: the request id came with another request.
        """
        created = definition.created_at.timestamp()
        keys = [job_key(definition.id), ALL, project_key(definition.project), OPEN, request_key(request_id)]
        arguments = [
            definition.id,
            json.dumps(definition.to_json(), ensure_ascii=False),
            repr(created),
            str(int(created * 1000)),
            request_digest,
            str(REQUEST_SECONDS if request_id else 0),
            CHANGES,
        ]
        with reaching():
            answer: str = self._create(keys=keys, args=arguments)
        return _same_request(answer, request_id, request_digest)

    def answered(self, request_id: str, request_digest: str) -> str | None:
        """Returns the id of the job that a request id was answered with; None when the id is new.

        Raises:
            RequestIdReused: the request id came with another request.
        """
        with reaching():
            answer: Any = self._redis.get(request_key(request_id))
        return _same_request(answer, request_id, request_digest) if answer else None

    def get(self, job_id: str) -> Job:
        """Returns a job. Raises JobNotFound."""
        with reaching():
            values = self._redis.hgetall(job_key(job_id))
        return read_job(job_id, values)

    def ids(self, project: str = "") -> list[tuple[str, int]]:
        """Returns (id, creation time in ms) of all jobs, or of one project's, oldest first."""
        with reaching():
            found: Any = self._redis.zrange(project_key(project) if project else ALL, 0, -1, withscores=True)
        return [(job_id, int(score)) for job_id, score in found]

    def get_many(self, job_ids: Sequence[str]) -> list[Job]:
        """Returns those of the jobs that are there, in the order asked."""
        with reaching(), self._redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hgetall(job_key(job_id))
            found = pipeline.execute()
        return [read_job(job_id, values) for job_id, values in zip(job_ids, found, strict=True) if values]

    def cancel(self, job_id: str) -> None:
        """Cancels a queued job at once, and asks a running one to stop. A job that has ended stays as it is.

        Raises:
            JobNotFound: there is none.
        """
        with reaching():
            answer: str = self._cancel(keys=[job_key(job_id), lease_key(job_id), OPEN], args=[job_id, now(), CHANGES])
        if answer == "GONE":
            raise not_found(job_id)

    def delete(self, job_id: str, project: str) -> bool:
        """Forgets a job that has ended; returns whether it was there. Raises JobNotEnded."""
        keys = [job_key(job_id), lease_key(job_id), ALL, project_key(project)]
        with reaching():
            answer: str = self._delete(keys=keys, args=[job_id, CHANGES])
        if answer == "NOT_ENDED":
            raise JobNotEnded(f"job {job_id} has not ended; cancel it first")
        return answer == "DELETED"

    def recover(self) -> list[str]:
        """Puts every running job whose lease has run out back among the queued; returns their ids."""
        with reaching():
            recovered = []
            for job_id in self._open():
                keys = [job_key(job_id), lease_key(job_id), OPEN]
                arguments = [job_id, str(FRUITLESS_ATTEMPTS), worker_died(), now(), CHANGES]
                if self._recover(keys=keys, args=arguments) == "QUEUED":
                    recovered.append(job_id)
        return recovered

    def waiting(self) -> list[Waiting]:
        """Returns the queued jobs, oldest first."""
        with reaching():
            ids = self._open()
            with self._redis.pipeline(transaction=False) as pipeline:
                for job_id in ids:
                    pipeline.hmget(job_key(job_id), ["state", "ticketed"])
                found = pipeline.execute()
        return [
            Waiting(job_id, float(ticketed or 0))
            for job_id, (state, ticketed) in zip(ids, found, strict=True)
            if state == JobState.QUEUED
        ]

    def ticketed(self, job_id: str) -> None:
        """Notes that a queued job was put into the queue now."""
        with reaching():
            self._ticketed(keys=[job_key(job_id)], args=[now()])

    def open_counts(self) -> tuple[int, int]:
        """Returns how many jobs are queued, and how many are running."""
        with reaching():
            ids = self._open()
        queued = len(self.waiting())
        return queued, len(ids) - queued

    def _open(self) -> list[str]:
        members: Any = self._redis.smembers(OPEN)
        return sorted(members)


def _same_request(answer: str, request_id: str, digest: str) -> str:
    """Takes "<job id> <digest>" apart."""
    job_id, _, first = answer.partition(" ")
    if first != digest:
        raise RequestIdReused(
            f"request_id {request_id!r} was used within a day by another StartJob, which made job {job_id}; "
            "give each request an id of its own"
        )
    return job_id
