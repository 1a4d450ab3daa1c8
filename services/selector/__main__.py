"""Starts the selector: `python -m services.selector --data DIR --redis URL --embedder HOST:PORT`."""

from __future__ import annotations

import argparse
import os
import sys

import grpc
from prepal.v1 import selector_pb2, selector_pb2_grpc
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from services.pools import PoolStore
from services.selector.answers import ANSWERS
from services.selector.choosing import Choosing
from services.selector.embedding import GrpcEmbedder
from services.selector.fitting import Fitting
from services.selector.following import Following
from services.selector.loaded import LoadedPools
from services.selector.predicting import Predicting
from services.selector.projects import Projects
from services.selector.recording import Recording
from services.selector.residents import Residents
from services.selector.scoring import Products, Shelf
from services.selector.selecting import Selecting
from services.selector.servicer import SelectorServicer, UseCases
from services.selector.signalling import Signalling
from services.selector.state import (
    RedisHeads,
    RedisLabels,
    RedisLog,
    RedisProjects,
    RedisReservations,
    RedisSignals,
    connect,
)
from services.selector.stores import Stores
from services.serving import Service, add_options, options_from, run

_GIB = 1 << 30
_EMBEDDER = "127.0.0.1:50051"


def build(*, data: str, redis: str, embedder: str, memory_bytes: int, kept_bytes: int, threads: int) -> Service:
    """Returns a selector.

    Args:
        data: the folder or object store where the pools are.
        redis: the URL of the Redis that holds projects. It need not answer yet.
        embedder: host:port of the embedder, for Predict on texts. It need not answer yet.
        memory_bytes: what pools and projects may take in memory before the longest unused ones are dropped.
        kept_bytes: what scores, distances and the like may take beside them before the longest unused ones are dropped.
        threads: how many threads score a pool.
    """
    # Products of a head are small: threads inside one cost more than they save, and there is another head to fit.
    threadpool_limits(1)
    client = connect(redis)
    pools, products, texts = LoadedPools(lambda: PoolStore(data)), Products(threads), GrpcEmbedder(embedder)
    stores = Stores(
        pools=pools,
        projects=RedisProjects(client),
        log=RedisLog(client),
        labels=RedisLabels(client),
        reservations=RedisReservations(client),
        heads=RedisHeads(client),
        signals=RedisSignals(client),
        embedder=texts,
    )
    residents, shelf = Residents(memory_bytes, pools), Shelf(kept_bytes)
    following = Following(stores, residents)
    fitting = Fitting(stores, residents, following, products, shelf, Signalling(stores))
    servicer = SelectorServicer(
        UseCases(
            projects=Projects(stores),
            selecting=Selecting(stores, residents, following, fitting, Choosing(products, shelf), products),
            recording=Recording(stores, residents, following, fitting),
            predicting=Predicting(stores, residents, following, fitting, products),
        )
    )

    def add(server: grpc.aio.Server) -> None:
        selector_pb2_grpc.add_SelectorServiceServicer_to_server(servicer, server)

    async def close() -> None:
        await fitting.close()
        await texts.close()
        await client.aclose()
        products.close()
        pools.close()

    name = selector_pb2.DESCRIPTOR.services_by_name["SelectorService"].full_name
    return Service(name="selector", full_name=name, add=add, errors=ANSWERS, probe=stores.projects.ping, close=close)


def main() -> int:
    """Runs the selector until it is told to stop. Returns the exit status of the process."""
    parser = argparse.ArgumentParser(prog="python -m services.selector", description="The selector of PRepAL.")
    parser.add_argument(
        "--data", default=os.environ.get("PREPAL_DATA"), help="folder or object store where the pools are (PREPAL_DATA)"
    )
    parser.add_argument(
        "--redis",
        default=os.environ.get("PREPAL_REDIS_URL"),
        help="Redis that holds projects, such as redis://127.0.0.1:6379/0 (PREPAL_REDIS_URL)",
    )
    parser.add_argument(
        "--embedder",
        default=os.environ.get("PREPAL_EMBEDDER", _EMBEDDER),
        help="host:port of the embedder (PREPAL_EMBEDDER, %(default)s)",
    )
    parser.add_argument(
        "--memory-gib",
        type=float,
        default=8.0,
        help="memory that pools and projects may take before the longest unused ones are dropped (%(default)s)",
    )
    parser.add_argument(
        "--kept-gib",
        type=float,
        default=1.0,
        help="memory that scores, distances and other things kept between calls may take beside them (%(default)s)",
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="threads that score a pool (%(default)s)"
    )
    add_options(parser, port=50052)
    arguments = parser.parse_args()
    if not arguments.data:
        parser.error("--data or PREPAL_DATA must name the folder where the pools are")
    if not arguments.redis:
        parser.error("--redis or PREPAL_REDIS_URL must name the Redis that holds projects")
    if arguments.memory_gib <= 0:
        parser.error(f"--memory-gib must be more than 0, got {arguments.memory_gib:g}")
    if arguments.kept_gib <= 0:
        parser.error(f"--kept-gib must be more than 0, got {arguments.kept_gib:g}")
    if arguments.threads < 1:
        parser.error(f"--threads must be at least 1, got {arguments.threads}")
    try:
        options = options_from(arguments)
    except ValueError as error:
        parser.error(str(error))

    async def start() -> Service:
        return build(
            data=arguments.data,
            redis=arguments.redis,
            embedder=arguments.embedder,
            memory_bytes=int(arguments.memory_gib * _GIB),
            kept_bytes=int(arguments.kept_gib * _GIB),
            threads=arguments.threads,
        )

    return run("selector", start, options)


if __name__ == "__main__":
    sys.exit(main())
