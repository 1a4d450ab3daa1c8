"""The shell, over real connections."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from prepal.v1 import embedder_pb2, embedder_pb2_grpc

from services.serving import REQUEST_ID_KEY, CannotListen, Options, running
from services.serving.logs import REQUEST_ID, JsonFormatter
from tests.serving.echo import Echo, Fitness, echo_service

PATIENCE = 10


@pytest.fixture
async def shell() -> AsyncIterator[tuple[grpc.aio.Channel, Echo, Fitness]]:
    echo, fitness = Echo(), Fitness()
    async with (
        running(echo_service(echo, fitness), Options(max_requests=2)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield channel, echo, fitness


Shell = tuple[grpc.aio.Channel, Echo, Fitness]


async def failure(channel: grpc.aio.Channel, name: str) -> grpc.aio.AioRpcError:
    stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetPool(embedder_pb2.GetPoolRequest(name=name), timeout=PATIENCE)
    return caught.value


def details(error: grpc.aio.AioRpcError) -> dict[type, Any]:
    status = rpc_status.from_call(error)
    found = {}
    kinds = (
        error_details_pb2.ErrorInfo,
        error_details_pb2.BadRequest,
        error_details_pb2.RetryInfo,
        error_details_pb2.RequestInfo,
    )
    for packed in status.details:
        for kind in kinds:
            message = kind()
            if packed.Unpack(message):
                found[kind] = message
    return found


async def test_a_domain_error_is_answered_by_its_row_in_the_table(shell: Shell) -> None:
    error = await failure(shell[0], "red")
    found = details(error)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error.details() == "colour must be blue, got red; choose another"
    info = found[error_details_pb2.ErrorInfo]
    assert (info.reason, info.domain, dict(info.metadata)) == ("TOO_RED", "prepal", {"colour": "red"})
    assert found[error_details_pb2.RetryInfo].retry_delay.ToMilliseconds() == 2500


async def test_an_error_without_a_row_is_answered_as_its_base(shell: Shell) -> None:
    found = details(await failure(shell[0], "much-too-red"))
    assert found[error_details_pb2.ErrorInfo].reason == "TOO_RED"


async def test_an_unexpected_error_is_internal_and_leaks_nothing(
    shell: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        error = await failure(shell[0], "secret")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "xyzzy" not in str(error.details()) + str(error.trailing_metadata())
    assert "xyzzy" in caplog.text
    assert details(error)[error_details_pb2.RequestInfo].request_id


async def test_an_abort_of_the_servicer_passes_as_it_is(shell: Shell) -> None:
    error = await failure(shell[0], "abort")
    assert (error.code(), error.details()) == (grpc.StatusCode.OUT_OF_RANGE, "as it is")


async def test_a_bad_field_is_named_with_its_limit_and_its_value(shell: Shell) -> None:
    error = await failure(shell[0], "../etc")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = details(error)[error_details_pb2.BadRequest].field_violations
    assert violation.field == "name"
    assert "'../etc'" in violation.description
    assert "1 to 128" in violation.description
    assert details(error)[error_details_pb2.ErrorInfo].reason == "INVALID_FIELD"


async def test_a_stream_keeps_what_it_answered_before_its_error(shell: Shell) -> None:
    stub = embedder_pb2_grpc.EmbedderServiceStub(shell[0])
    call = stub.AddItems(timeout=PATIENCE)
    await call.write(embedder_pb2.AddItemsRequest(pool="blue"))
    assert (await call.read()).chunk == 0
    await call.write(embedder_pb2.AddItemsRequest(pool="red"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_request_id_goes_through_and_one_is_made_where_none_came(shell: Shell) -> None:
    stub = embedder_pb2_grpc.EmbedderServiceStub(shell[0])
    call = stub.GetPool(embedder_pb2.GetPoolRequest(name="a"), metadata=((REQUEST_ID_KEY, "mine"),), timeout=PATIENCE)
    assert dict(await call.trailing_metadata())[REQUEST_ID_KEY] == "mine"
    call = stub.GetPool(embedder_pb2.GetPoolRequest(name="a"), timeout=PATIENCE)
    assert len(dict(await call.trailing_metadata())[REQUEST_ID_KEY]) == 32


async def test_requests_beyond_the_limit_are_told_when_to_retry(shell: Shell) -> None:
    channel, echo, _ = shell
    stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
    waiting = [asyncio.ensure_future(_get(stub, "wait")) for _ in range(2)]
    async with asyncio.timeout(PATIENCE):
        await echo.entered.wait()
        # Both hold their place once the first answer of a third is a refusal.
        error = await failure(channel, "a")
        while error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            error = await failure(channel, "a")
    found = details(error)
    assert found[error_details_pb2.ErrorInfo].reason == "OVERLOADED"
    assert found[error_details_pb2.RetryInfo].retry_delay.ToMilliseconds() > 0
    echo.go_on.set()
    await asyncio.gather(*waiting)
    await _get(stub, "a")


async def test_a_deadline_that_passed_cancels_the_work(shell: Shell) -> None:
    channel, echo, _ = shell
    stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetPool(embedder_pb2.GetPoolRequest(name="wait"), timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(PATIENCE):
        await echo.cancelled.wait()


async def test_health_follows_the_probe(shell: Shell) -> None:
    channel, _, fitness = shell
    stub = health_pb2_grpc.HealthStub(channel)
    call = stub.Watch(health_pb2.HealthCheckRequest(service="prepal.v1.EmbedderService"), timeout=PATIENCE)
    assert (await call.read()).status == health_pb2.HealthCheckResponse.SERVING
    fitness.fit = False
    assert (await call.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    fitness.fit = True
    assert (await call.read()).status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_names_the_service(shell: Shell) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(shell[0])
    call = stub.ServerReflectionInfo(timeout=PATIENCE)
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    names = [service.name for service in (await call.read()).list_services_response.service]
    await call.done_writing()
    assert "prepal.v1.EmbedderService" in names
    assert "grpc.health.v1.Health" in names


async def test_a_drain_lets_running_requests_end_and_closes_the_service() -> None:
    echo, fitness = Echo(), Fitness()
    service = running(echo_service(echo, fitness))
    port = await service.__aenter__()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(PATIENCE):
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = asyncio.ensure_future(_get(embedder_pb2_grpc.EmbedderServiceStub(channel), "wait"))
        await echo.entered.wait()
        stopping = asyncio.ensure_future(service.__aexit__(None, None, None))
        assert (await health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not fitness.closed
        health.cancel()
        echo.go_on.set()
        assert (await call).pool.name == "wait"
        await stopping
    assert fitness.closed


async def test_a_taken_port_is_an_error_and_not_a_shared_one(shell: Shell) -> None:
    echo, fitness = Echo(), Fitness()
    async with running(echo_service(echo, fitness)) as port:
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}.*--port"):
            async with running(echo_service(Echo(), Fitness()), Options(port=port)):
                pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"port": 70000}, "port must be between 0 and 65535, got 70000"),
        ({"host": "0.0.0.0"}, "host must be a loopback address, got '0.0.0.0'"),
        ({"max_requests": 0}, "max-requests must be at least 1, got 0"),
        ({"drain_seconds": -1.0}, "drain-seconds must be at least 0, got -1"),
    ],
)
def test_options_out_of_range_say_the_limit(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Options(**arguments)


def test_a_host_beyond_loopback_is_accepted_when_asked_for() -> None:
    assert Options(host="0.0.0.0", allow_any_host=True).host == "0.0.0.0"


def test_a_log_line_is_one_json_object_with_its_request() -> None:
    record = logging.makeLogRecord({"name": "x", "msg": "two\nlines", "levelname": "INFO", "seconds": 1.5})
    token = REQUEST_ID.set("r1")
    try:
        line = JsonFormatter("echo").format(record)
    finally:
        REQUEST_ID.reset(token)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["message"], found["request_id"], found["seconds"], found["service"]) == (
        "two\nlines",
        "r1",
        1.5,
        "echo",
    )


async def _get(stub: Any, name: str) -> embedder_pb2.GetPoolResponse:
    response: embedder_pb2.GetPoolResponse = await stub.GetPool(
        embedder_pb2.GetPoolRequest(name=name), timeout=PATIENCE
    )
    return response
