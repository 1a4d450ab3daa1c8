"""The process that does one ticket's work; RQ calls a worker's child its work horse."""

from __future__ import annotations

import logging
import os
import secrets
import signal
from contextlib import suppress
from pathlib import Path
from types import FrameType

import redis

from services.backbones import locate
from services.pools import PoolStore
from services.trainer.attempt import Workshop, give_up, patiently, work_on
from services.trainer.connection import connect
from services.trainer.errors import StoreUnavailable
from services.trainer.files import JobFiles
from services.trainer.keeper import Keeper, Stop
from services.trainer.learning import FineTuning
from services.trainer.leases import Leases
from services.trainer.pools import Pools
from services.trainer.settings import Settings
from services.trainer.tickets import Tickets

LOGGER = logging.getLogger(__name__)
# A ticket whose job cannot be claimed so long because Redis is away is dropped; the sweep puts in another.
_CLAIM_SECONDS = 60.0
# An attempt that ends with its process waits so long for Redis to say so; after that its lease runs out.
_END_SECONDS = 3.0


def run(job_id: str) -> None:
    """Claims a job and works on it. Returns at once when the job has ended, or another attempt has it."""
    settings = Settings.inherited()
    os.nice(settings.nice)
    leases = Leases(connect(settings.redis), settings.lease_seconds)
    token = f"{settings.worker}/{secrets.token_hex(4)}"
    workshop = Workshop(
        leases=leases,
        tickets=Tickets(redis.Redis.from_url(settings.queue_redis)),
        files=JobFiles(Path(settings.data)),
        pools=Pools(PoolStore(settings.data)),
        locate=locate,
        learn=FineTuning(checkpoint_seconds=settings.checkpoint_seconds),
    )

    def end(why: Stop) -> None:
        with suppress(StoreUnavailable):
            give_up(job_id, token, why, workshop, patience=_END_SECONDS)
        LOGGER.warning("the attempt ends with its process", extra={"job": job_id, "why": why.name})
        os._exit(1)

    keeper = Keeper(leases, job_id, token, end)

    def on_sigterm(_number: int, _frame: FrameType | None) -> None:
        keeper.hand_back()

    signal.signal(signal.SIGTERM, on_sigterm)
    if not patiently(lambda: leases.claim(job_id, token), seconds=_CLAIM_SECONDS):
        return
    LOGGER.info("an attempt begins", extra={"job": job_id, "token": token})
    with keeper:
        work_on(job_id, token, keeper, workshop)
