"""The trainer's process: `python -m services.trainer --data DIR --redis URL --selector HOST:PORT`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import grpc
import redis
from prepal.v1 import trainer_pb2_grpc
from prometheus_client import Counter, Gauge

from services.pools import PoolStore
from services.serving import Service, add_options, options_from, run
from services.trainer.backbone import limit_here
from services.trainer.changes import Changes
from services.trainer.connection import connect
from services.trainer.errors import StoreUnavailable
from services.trainer.files import JobFiles
from services.trainer.labels import Selector
from services.trainer.pools import Pools
from services.trainer.servicer import ERRORS, TrainerServicer
from services.trainer.start import Starter
from services.trainer.store import JobStore
from services.trainer.sweep import recover_jobs, remove_orphans
from services.trainer.tickets import Tickets

LOGGER = logging.getLogger(__name__)
_SWEEP_SECONDS = 5.0
_SWEEPS_A_CLEANING = 120

_QUEUED = Gauge("prepal_trainer_queued_jobs", "Jobs that wait for a worker.")
_RUNNING = Gauge("prepal_trainer_running_jobs", "Jobs that a worker is at.")
_RECOVERED = Counter("prepal_trainer_recovered_jobs_total", "Jobs queued again because their worker died.")


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """Where the trainer finds things.

    Attributes:
        data: the data folder.
        redis: URL of the Redis with the jobs.
        queue_redis: URL of the Redis with RQ's queue.
        selector: host:port.
    """

    data: str
    redis: str
    queue_redis: str
    selector: str

    def __post_init__(self) -> None:
        """Raises ValueError for data that is not a folder."""
        if "://" in self.data:
            raise ValueError(
                f"data must be a folder for the trainer, got {self.data!r}; checkpoints are not kept elsewhere"
            )


async def start(options: TrainerOptions) -> Service:
    """Makes the service; call it in the event loop that runs it."""
    client = connect(options.redis)
    queue_client = redis.Redis.from_url(options.queue_redis, socket_connect_timeout=2.0, socket_timeout=5.0)
    store, tickets, files = JobStore(client), Tickets(queue_client), JobFiles(Path(options.data))
    pools = PoolStore(options.data)
    channel = grpc.aio.insecure_channel(options.selector)
    changes = Changes(options.redis)
    changes.start()
    starter = Starter(
        store=store,
        tickets=tickets,
        files=files,
        selector=Selector(channel),
        pools=Pools(pools),
        limit_of=limit_here,
    )
    servicer = TrainerServicer(starter=starter, store=store, files=files, changes=changes)
    sweeping = asyncio.create_task(_sweep(store, tickets, files))

    async def close() -> None:
        sweeping.cancel()
        await changes.close()
        await channel.close()
        await asyncio.to_thread(client.close)
        await asyncio.to_thread(queue_client.close)

    return Service(
        name="trainer",
        full_name="prepal.v1.TrainerService",
        add=lambda server: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(servicer, server),
        errors=ERRORS,
        probe=lambda: asyncio.to_thread(store.ping),
        close=close,
    )


async def _sweep(store: JobStore, tickets: Tickets, files: JobFiles) -> None:
    """Puts right what died, now and then."""
    sweeps = 0
    while True:
        try:
            recovered = await asyncio.to_thread(recover_jobs, store, tickets)
            _RECOVERED.inc(len(recovered))
            queued, running = await asyncio.to_thread(store.open_counts)
            _QUEUED.set(queued)
            _RUNNING.set(running)
            if sweeps % _SWEEPS_A_CLEANING == 0:
                await asyncio.to_thread(remove_orphans, store, files)
            sweeps += 1
        except StoreUnavailable as error:
            LOGGER.warning("no sweep: %s", error)
        except Exception:  # the next sweep may go well, and without sweeps jobs would stay lost
            LOGGER.exception("a sweep failed")
        await asyncio.sleep(_SWEEP_SECONDS)


def main() -> int:
    """Runs the service until SIGTERM; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m services.trainer", description="Takes fine-tuning jobs and tells how they go."
    )
    add_options(parser, port=50053)
    data, url = os.environ.get("PREPAL_DATA"), os.environ.get("PREPAL_REDIS_URL")
    parser.add_argument("--data", default=data, required=data is None, help="the data folder (PREPAL_DATA)")
    parser.add_argument("--redis", default=url, required=url is None, help="URL of Redis (PREPAL_REDIS_URL)")
    parser.add_argument(
        "--queue-redis",
        default=os.environ.get("PREPAL_QUEUE_REDIS_URL", ""),
        help="URL of the Redis with RQ's queue, a plain one (PREPAL_QUEUE_REDIS_URL; --redis)",
    )
    parser.add_argument(
        "--selector",
        default=os.environ.get("PREPAL_SELECTOR", "127.0.0.1:50052"),
        help="host:port of the selector (PREPAL_SELECTOR; %(default)s)",
    )
    arguments = parser.parse_args()
    try:
        serving = options_from(arguments)
        options = TrainerOptions(
            data=arguments.data,
            redis=arguments.redis,
            queue_redis=arguments.queue_redis or arguments.redis,
            selector=arguments.selector,
        )
    except ValueError as error:
        parser.error(str(error))
    return run("trainer", lambda: start(options), serving)


if __name__ == "__main__":
    sys.exit(main())
