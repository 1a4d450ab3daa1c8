"""The worker: `python -m services.trainer.worker --data DIR --redis URL`.

An RQ worker that forks a process for each job. The parent imports torch and transformers once but never computes, so
there is no thread pool that a fork would break, and a job begins at once; the child's death, by memory or by hand, does
not take the worker with it. RQ does what it is good at, which is to hand tickets to workers: who may run a job, whether
it is alive and what became of it is decided by leases in Redis (leases.py).

While Redis is away an idle worker waits for it, and a child goes on computing. Should RQ give up nevertheless, the
process ends with status 1, for its supervisor to start again. SIGTERM stops after the running step: a checkpoint is
written, the job given back, and another worker goes on from there.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import redis
import rq
from rq.serializers import JSONSerializer

from services.serving import log_as_json
from services.trainer.connection import connect
from services.trainer.errors import StoreUnavailable
from services.trainer.leases import Leases
from services.trainer.settings import Settings
from services.trainer.store import JobStore
from services.trainer.sweep import recover_jobs
from services.trainer.tickets import Tickets, queue

LOGGER = logging.getLogger(__name__)
# RQ waits for a ticket 15 s less than this, then does its chores, among them our sweep.
_WORKER_SECONDS = 18
_HEARTBEAT_SECONDS = 10


class TicketWorker(rq.Worker):
    """RQ's worker, sweeping while idle, deaf to a Redis that is away for a while, and quick to stop.

    Args:
        client: of the queue's Redis, answering with bytes.
        name: the worker's.
        sweep: does the chores.
        horse_died: told the job of a child that died.
    """

    max_connection_wait_time = 1.0

    def __init__(
        self, client: redis.Redis, *, name: str, sweep: Callable[[], None], horse_died: Callable[[str], None]
    ) -> None:
        super().__init__(
            [queue(client)],
            name=name,
            connection=client,
            serializer=JSONSerializer,
            worker_ttl=_WORKER_SECONDS,
            job_monitoring_interval=_HEARTBEAT_SECONDS,
            work_horse_killed_handler=lambda ticket, *_: horse_died(ticket.args[0]),
            log_job_description=False,
        )
        self._sweep = sweep
        self.asked_to_stop = False

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Always: each time that RQ has waited for a ticket in vain."""
        return True

    def run_maintenance_tasks(self) -> None:
        """Sweeps, and now and then does RQ's own chores."""
        self._sweep()
        if super().should_run_maintenance_tasks:
            super().run_maintenance_tasks()

    def maintain_heartbeats(self, job: rq.job.Job, execution: Any) -> None:
        """Tells RQ that the worker lives; that Redis is away for a while must not end the job."""
        try:
            super().maintain_heartbeats(job, execution)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            LOGGER.warning("Redis cannot be reached: %s", error)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Asks the child to give its job back, and stops when it has."""
        self.asked_to_stop = True
        if self.horse_pid:
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)
        super().request_stop(signum, frame)


def work(settings: Settings) -> int:
    """Works until SIGTERM or SIGINT; returns the exit status of the process."""
    settings.export()
    store = JobStore(connect(settings.redis))
    leases = Leases(connect(settings.redis), settings.lease_seconds)
    tickets = Tickets(redis.Redis.from_url(settings.queue_redis))
    # What a child needs is imported once, here. Waiting threads sleep instead of spinning: the machine is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # One worker, one GPU: several would change what a batch is.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Asking whether there is a GPU must not touch it before the fork.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    importlib.import_module("services.trainer.horse")

    def sweep() -> None:
        with suppress(StoreUnavailable):
            recover_jobs(store, tickets)

    def horse_died(job_id: str) -> None:
        with suppress(StoreUnavailable):
            if leases.give_back(job_id, f"{settings.worker}/", died=True):
                tickets.put(job_id)

    _wait_for_redis(store)
    worker = TicketWorker(
        redis.Redis.from_url(settings.queue_redis), name=settings.worker, sweep=sweep, horse_died=horse_died
    )
    worker.work(logging_level="WARNING")
    return 0 if worker.asked_to_stop else 1


def main() -> int:
    """Runs a worker; returns the exit status."""
    arguments = _parser().parse_args()
    log_as_json("worker")
    try:
        settings = Settings(
            data=arguments.data,
            redis=arguments.redis,
            queue_redis=arguments.queue_redis or arguments.redis,
            worker=f"worker-{uuid.uuid4().hex[:12]}",
            lease_seconds=arguments.lease_seconds,
            checkpoint_seconds=arguments.checkpoint_seconds,
            nice=arguments.nice,
        )
    except ValueError as error:
        sys.stderr.write(f"services.trainer.worker: {error}\n")
        return 2
    return work(settings)


def _wait_for_redis(store: JobStore) -> None:
    pause = 0.1
    while True:
        try:
            store.ping()
        except StoreUnavailable as error:
            LOGGER.warning("waits: %s", error)
            time.sleep(pause)
            pause = min(2 * pause, 2.0)
        else:
            return


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.trainer.worker", description="Works on fine-tuning jobs, one at a time."
    )
    data, url = os.environ.get("PREPAL_DATA"), os.environ.get("PREPAL_REDIS_URL")
    parser.add_argument("--data", default=data, required=data is None, help="the data folder (PREPAL_DATA)")
    parser.add_argument("--redis", default=url, required=url is None, help="URL of Redis (PREPAL_REDIS_URL)")
    parser.add_argument(
        "--queue-redis",
        default=os.environ.get("PREPAL_QUEUE_REDIS_URL", ""),
        help="URL of the Redis with RQ's queue, a plain one (PREPAL_QUEUE_REDIS_URL; --redis)",
    )
    parser.add_argument(
        "--lease-seconds",
        type=float,
        default=12.0,
        help="after so long a silent worker is taken for dead (%(default)s)",
    )
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=60.0, help="how often a checkpoint is written (%(default)s)"
    )
    parser.add_argument(
        "--nice", type=int, default=5, help="how far training stands back behind other work, 0 to 19 (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
