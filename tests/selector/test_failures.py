"""Redis gone and back, processes killed, memory short."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prepal.v1 import selector_pb2 as pb
from prepal.v1 import selector_pb2_grpc

from services.selector.__main__ import build
from services.selector.residents import Residents
from services.serving import running
from tests.conftest import RedisServer
from tests.selector.conftest import NOWHERE, StartSelector
from tests.selector.pools import Pools, ids
from tests.selector.selecting import Caller, Refusal, picked, truth

SERVICE = "prepal.v1.SelectorService"


@pytest.fixture
async def over_own_redis(
    start_selector: StartSelector, pools: Pools, own_redis_server: RedisServer
) -> AsyncIterator[Caller]:
    pools.make("reviews", 60)
    async with start_selector(redis=own_redis_server.url) as caller:
        await caller.create("sentiment", "reviews", ["negative", "positive"])
        yield caller


async def test_while_redis_is_gone_every_call_says_so_and_when_it_is_back_all_goes_on(
    over_own_redis: Caller, own_redis_server: RedisServer
) -> None:
    await over_own_redis.label(truth(ids(0, 10)))
    before = await over_own_redis.select(4, annotator="ada")
    own_redis_server.kill()
    calls = [
        lambda: over_own_redis.select(1),
        lambda: over_own_redis.label({"i20": "positive"}),
        lambda: over_own_redis.labels(),
        lambda: over_own_redis.status(),
        lambda: over_own_redis.predict(pool="reviews"),
        lambda: over_own_redis.create("other", "reviews", ["a", "b"]),
        lambda: over_own_redis.call("ListProjects", pb.ListProjectsRequest()),
        lambda: over_own_redis.call("DeleteProject", pb.DeleteProjectRequest(project="sentiment")),
        lambda: over_own_redis.call("UpdateProject", pb.UpdateProjectRequest(project="sentiment", add_labels=["x"])),
    ]
    for call in calls:
        with pytest.raises(Refusal, match="project store") as refused:
            await call()
        assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert refused.value.retry_seconds == 1
        assert "sock" not in refused.value.message
    await asyncio.to_thread(own_redis_server.start)
    assert picked(await over_own_redis.select(4, annotator="ada")) == picked(before)
    assert [label.item_id for label in await over_own_redis.labels()] == sorted(ids(0, 10))
    await over_own_redis.label(truth(ids(20, 22)))
    assert (await over_own_redis.select(1)).head_version == 2


async def test_health_follows_redis(pools: Pools, own_redis_server: RedisServer) -> None:
    service = build(
        data=str(pools.data),
        redis=own_redis_server.url,
        embedder=NOWHERE,
        memory_bytes=1 << 30,
        kept_bytes=1 << 28,
        threads=1,
    )

    async def until(status: int) -> None:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        async for response in health.Watch(request):
            if response.status == status:
                return

    async with running(service) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        await asyncio.wait_for(until(health_pb2.HealthCheckResponse.SERVING), 20)
        own_redis_server.kill()
        await asyncio.wait_for(until(health_pb2.HealthCheckResponse.NOT_SERVING), 20)
        await asyncio.to_thread(own_redis_server.start)
        await asyncio.wait_for(until(health_pb2.HealthCheckResponse.SERVING), 20)


async def test_a_fit_that_lost_redis_is_made_up_for(over_own_redis: Caller, own_redis_server: RedisServer) -> None:
    await over_own_redis.label(truth(ids(0, 10)))
    # The fit in the background meets a Redis that is gone.
    own_redis_server.kill()
    with pytest.raises(Refusal):
        await over_own_redis.select(1)
    await asyncio.to_thread(own_redis_server.start)
    response = await over_own_redis.select(1)
    assert (response.cold_start, response.head_version) == (False, 1)


async def test_labels_and_reservations_acknowledged_before_redis_was_killed_are_there_after(
    over_own_redis: Caller, own_redis_server: RedisServer
) -> None:
    acknowledged: dict[str, str] = {}
    for number in range(12):
        await over_own_redis.label(truth([f"i{number}"]))
        acknowledged |= truth([f"i{number}"])
        if number % 4 == 3:
            own_redis_server.kill()
            await asyncio.to_thread(own_redis_server.start)
    assert {label.item_id: label.label for label in await over_own_redis.labels()} == acknowledged


@asynccontextmanager
async def process(pools: Pools, redis_url: str) -> AsyncIterator[tuple[subprocess.Popen[bytes], Caller]]:
    """A selector as a process of its own."""
    command = [sys.executable, "-m", "services.selector", "--data", str(pools.data), "--redis", redis_url]
    read, write = os.pipe()
    started = await asyncio.to_thread(subprocess.Popen, [*command, "--port", "0"], stderr=write)
    os.close(write)
    try:
        with os.fdopen(read, "rb") as log:
            port = await asyncio.wait_for(asyncio.to_thread(_port, log), 60)
            draining = asyncio.create_task(asyncio.to_thread(log.read))
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield started, Caller(selector_pb2_grpc.SelectorServiceStub(channel))
            started.kill()
            await draining
    finally:
        started.kill()
        started.wait()


def _port(log: object) -> int:
    import json

    for line in log:  # type: ignore[attr-defined]
        if b'"port"' in line:
            return int(json.loads(line)["port"])
    raise AssertionError("the selector ended before it listened")


async def test_a_selector_killed_and_started_again_goes_on_from_what_was_acknowledged(
    pools: Pools, redis_url: str
) -> None:
    pools.make("reviews", 60)
    async with process(pools, redis_url) as (selector, caller):
        await caller.create("sentiment", "reviews", ["negative", "positive"])
        await caller.label(truth(ids(0, 20)), request_id="labels")
        first = await caller.select(5, annotator="ada", request_id="r")
        selector.send_signal(signal.SIGKILL)
        await asyncio.to_thread(selector.wait)
    async with process(pools, redis_url) as (selector, caller):
        assert await caller.select(5, annotator="ada", request_id="r") == first
        again = await caller.select(5, annotator="ada")
        assert picked(again) == picked(first)
        assert again.probabilities == first.probabilities
        assert (again.head_version, again.remaining) == (1, 35)
        assert len(await caller.labels()) == 20
        assert (await caller.label(truth(ids(0, 20)), request_id="labels")).changed == 20
        selector.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(selector.wait, 30) == 0


async def test_projects_that_do_not_fit_memory_are_dropped_and_come_back(
    start_selector: StartSelector, pools: Pools
) -> None:
    for name in ("one", "two", "three"):
        pools.make(name, 60)
    # Not even one pool fits beside another.
    async with start_selector(memory_bytes=4_000) as selector:
        answers = {}
        for name in ("one", "two", "three"):
            await selector.create(name, name, ["negative", "positive"])
            await selector.label(truth(ids(0, 10)), project=name)
            answers[name] = await selector.picks(5, project=name)
        for name in ("one", "two", "three"):
            assert await selector.picks(5, project=name) == answers[name]
            assert (await selector.select(1, project=name)).head_version == 1


class Released:
    """Pools that only note what is let go."""

    def __init__(self) -> None:
        self.released: list[str] = []

    def open(self, name: str) -> object:
        raise AssertionError(f"nothing opens {name} here")

    def release(self, name: str) -> None:
        self.released.append(name)


async def test_the_longest_unused_project_goes_first_and_one_at_work_never(project: Caller) -> None:
    pools = Released()
    residents = Residents(250, pools)  # type: ignore[arg-type]
    message = (await project.call("GetProject", pb.GetProjectRequest(project="sentiment"))).project

    async def use(name: str) -> None:
        async with residents.entered(name) as workspace:
            from services.selector.heads import LogisticSettings
            from services.selector.project import Project

            workspace.project = Project(
                name=name,
                pool=f"pool of {name}",
                labels=tuple(message.labels),
                acquisition="MARGIN",
                cold_start="RANDOM",
                reservation_ms=0,
                head=LogisticSettings(),
                parameters={},
                fingerprint="",
                created_ms=0,
            )
            residents.note(f"pool of {name}", 100)

    for name in ("a", "b"):
        await use(name)
    await use("a")
    async with residents.entered("a"):
        await use("c")
        assert residents.names() == ["a", "c"]
        await use("d")
        assert residents.names() == ["a", "d"]
    assert pools.released == ["pool of b", "pool of c"]
    async with residents.using("pool of d"):
        await use("e")
        await use("f")
        assert "pool of d" not in pools.released


async def test_a_project_that_does_not_exist_leaves_nothing_in_memory(project: Caller) -> None:
    residents = Residents(1 << 20, Released())  # type: ignore[arg-type]
    async with residents.entered("nobody"):
        assert residents.names() == ["nobody"]
    assert residents.names() == []
