"""A real selector over a real Redis and a real pool store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from prepal.v1 import selector_pb2_grpc

from services.selector.__main__ import build
from services.serving import running
from tests.selector.pools import Pools
from tests.selector.selecting import Caller

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[Pools]:
    """Pools in a folder of the test's own."""
    made = Pools(tmp_path / "data")
    yield made
    made.store.close()


StartSelector = Callable[..., AbstractAsyncContextManager[Caller]]


@pytest.fixture
def start_selector(pools: Pools, redis_url: str) -> StartSelector:
    """Starts a selector in this process on a port of its own; several may share Redis and the pools."""

    @asynccontextmanager
    async def start(
        *, redis: str = redis_url, embedder: str = NOWHERE, memory_bytes: int = 1 << 30
    ) -> AsyncIterator[Caller]:
        service = build(
            data=str(pools.data),
            redis=redis,
            embedder=embedder,
            memory_bytes=memory_bytes,
            kept_bytes=1 << 28,
            threads=2,
        )
        async with running(service) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Caller(selector_pb2_grpc.SelectorServiceStub(channel))

    return start


@pytest.fixture
async def selector(start_selector: StartSelector) -> AsyncIterator[Caller]:
    """One selector."""
    async with start_selector() as caller:
        yield caller


@pytest.fixture
async def project(selector: Caller, pools: Pools) -> Caller:
    """One selector with a pool `reviews` of 60 items and a project `sentiment` over it."""
    pools.make("reviews", 60)
    await selector.create("sentiment", "reviews", ["negative", "positive"])
    return selector
