"""Jobs in Redis, as the attempts that run them see them.

The attempt whose token is a job's `holder` speaks for it. Its lease says that it is alive: once the lease has run out,
anybody may put the job back among the queued, which takes `holder` away, and from then on nothing that the old attempt
says is recorded. Every call may be repeated: a connection that breaks after Redis did its work does no harm.
"""

from __future__ import annotations

import json
from enum import StrEnum

import redis

from services.trainer import scripts
from services.trainer.connection import reaching
from services.trainer.errors import LeaseLost
from services.trainer.job import Failure, JobState, Progress
from services.trainer.metrics import Metrics
from services.trainer.records import (
    CHANGES,
    FRUITLESS_ATTEMPTS,
    OPEN,
    failure_result,
    job_key,
    lease_key,
    milliseconds,
    now,
    progress_fields,
    worker_died,
)


class Renewed(StrEnum):
    """What an attempt learns when it renews its lease."""

    OK = "OK"
    CANCEL = "CANCEL"
    LOST = "LOST"


class Leases:
    """Who works on which job; thread-safe. Every method raises StoreUnavailable while Redis is away.

    Args:
        client: of a Redis, answering with str.
        seconds: how long an attempt is taken to be alive after its last renewal.
    """

    def __init__(self, client: redis.Redis, seconds: float) -> None:
        self.seconds = seconds
        self._claim = client.register_script(scripts.CLAIM)
        self._renew = client.register_script(scripts.RENEW)
        self._finish = client.register_script(scripts.FINISH)
        self._give_back = client.register_script(scripts.GIVE_BACK)

    def claim(self, job_id: str, token: str) -> bool:
        """Begins an attempt at a job that no living attempt has; returns whether the job is this attempt's now.

        A job that was to be cancelled, or that killed its workers too often, ends here instead.
        """
        limit = str(FRUITLESS_ATTEMPTS)
        arguments = [job_id, token, milliseconds(self.seconds), now(), limit, worker_died(), CHANGES]
        with reaching():
            answer: str = self._claim(keys=_keys(job_id), args=arguments)
        return answer == "CLAIMED"

    def renew(self, job_id: str, token: str, *, progress: Progress | None = None, fruitful: bool = False) -> Renewed:
        """Says that the attempt is alive, and how far it is; returns whether it is to go on.

        Args:
            job_id: the job.
            token: the attempt's.
            progress: how far it is; None when nothing changed.
            fruitful: whether there is a new checkpoint, so that the next attempt begins further on.
        """
        fields = [] if progress is None else progress_fields(progress)
        arguments = [job_id, token, milliseconds(self.seconds), "1" if fruitful else "0", CHANGES, *fields]
        with reaching():
            return Renewed(self._renew(keys=_keys(job_id), args=arguments))

    def succeed(self, job_id: str, token: str, *, metrics: Metrics | None, seconds: float) -> JobState:
        """Ends the job as succeeded, or as cancelled when somebody asked for that meanwhile; returns which.

        Raises:
            LeaseLost: the job is not this attempt's any more.
        """
        result = {"metrics": metrics.to_json() if metrics else None, "seconds": seconds}
        return self._end(job_id, token, JobState.SUCCEEDED, json.dumps(result))

    def fail(self, job_id: str, token: str, failure: Failure) -> JobState:
        """Ends the job as failed, or as cancelled when somebody asked for that meanwhile. Raises LeaseLost."""
        return self._end(job_id, token, JobState.FAILED, failure_result(failure))

    def stop(self, job_id: str, token: str) -> JobState:
        """Ends the job as cancelled. Raises LeaseLost."""
        return self._end(job_id, token, JobState.CANCELLED, "{}")

    def give_back(self, job_id: str, token: str, *, died: bool) -> bool:
        """Puts the job of an attempt that ends without a result back among the queued; returns whether it did.

        Args:
            job_id: the job.
            token: the attempt's, or the beginning of it that all attempts of one worker share.
            died: whether the attempt counts as one that brought its worker down.
        """
        limit = str(FRUITLESS_ATTEMPTS)
        arguments = [job_id, token, "1" if died else "0", limit, worker_died(), now(), CHANGES]
        with reaching():
            answer: str = self._give_back(keys=_keys(job_id), args=arguments)
        return answer == "QUEUED"

    def _end(self, job_id: str, token: str, state: JobState, result: str) -> JobState:
        with reaching():
            answer: str = self._finish(keys=_keys(job_id), args=[job_id, token, state.value, result, now(), CHANGES])
        if answer == "LOST":
            raise LeaseLost(f"job {job_id} is not this attempt's any more")
        return JobState(answer)


def _keys(job_id: str) -> list[str]:
    return [job_key(job_id), lease_key(job_id), OPEN]
