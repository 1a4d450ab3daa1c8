"""Puts right what the death of a process left: jobs whose worker died, jobs without a ticket, folders without a job."""

from __future__ import annotations

import logging
import time

from services.trainer.errors import JobNotFound
from services.trainer.files import JobFiles
from services.trainer.store import JobStore
from services.trainer.tickets import Tickets

LOGGER = logging.getLogger(__name__)
# A worker that took a ticket claims the job within this time.
_CLAIM_SECONDS = 10.0


def recover_jobs(store: JobStore, tickets: Tickets) -> list[str]:
    """Queues the jobs whose worker died, and gives a ticket to each queued job that has none; returns the former's ids.

    Any process may do this at any time, several at once too: a ticket too many does no harm.

    Raises:
        StoreUnavailable: Redis is away.
    """
    recovered = store.recover()
    for job_id in recovered:
        LOGGER.warning("the worker of a job died; the job is queued again", extra={"job": job_id})
    jobs = store.waiting()
    if jobs:
        have = tickets.waiting()
        late = time.time() - _CLAIM_SECONDS
        for job in jobs:
            if job.job_id not in have and job.ticketed < late:
                tickets.put(job.job_id)
                store.ticketed(job.job_id)
    return recovered


def remove_orphans(store: JobStore, files: JobFiles) -> None:
    """Removes folders that no job owns, and what ended jobs do not need any more.

    A folder with a result stays even when Redis knows nothing of it: a Redis without its data must not cost the models.

    Raises:
        StoreUnavailable: Redis is away.
    """
    files.delete_leftovers()
    for job_id in files.job_ids():
        try:
            job = store.get(job_id)
        except JobNotFound:
            if not files.checkpoint(job_id).exists():
                LOGGER.warning("a folder without a job is removed", extra={"job": job_id})
                files.delete(job_id)
        else:
            if job.state.final:
                files.delete_attempts(job_id)
