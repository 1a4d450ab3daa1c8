"""RQ's queue: a ticket in it says that a job waits. What a job is, and whether it may run, only the store knows.

A ticket may be lost, or be there twice, without harm: a worker that takes one claims the job first, and the sweep puts
in a new one for a job that waits without. Tickets carry one string, as JSON; nothing is ever pickled.
"""

from __future__ import annotations

import secrets
from typing import Any

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from services.trainer.connection import reaching

QUEUE = "prepal-jobs"
# What a worker calls with a job's id.
_CALL = "services.trainer.horse.run"
# RQ keeps what it knows of a ticket whose worker died for so long.
_FAILURE_SECONDS = 3600


def queue(client: redis.Redis) -> Queue:
    """Returns RQ's queue on a Redis that answers with bytes."""
    return Queue(QUEUE, connection=client, serializer=JSONSerializer)


class Tickets:
    """Puts tickets into the queue. Every method raises StoreUnavailable while Redis is away.

    Args:
        client: of the queue's Redis, answering with bytes, as RQ wants it.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._queue = queue(client)

    def put(self, job_id: str) -> None:
        """Puts a ticket for a job at the end of the queue."""
        with reaching():
            self._queue.enqueue_call(
                _CALL,
                args=(job_id,),
                timeout=-1,
                result_ttl=0,
                failure_ttl=_FAILURE_SECONDS,
                description=f"job {job_id}",
                job_id=f"{job_id}_{secrets.token_hex(4)}",
            )

    def waiting(self) -> set[str]:
        """Returns the jobs that have a ticket in the queue."""
        with reaching():
            ids: Any = self._queue.get_job_ids()
        return {ticket.rpartition("_")[0] for ticket in ids}
