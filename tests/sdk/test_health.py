"""Health is asked of the standard protocol, and a service that is away is an answer, not an error."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures

import grpc
import prepal
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.sdk.conftest import Ask

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_each_service_says_whether_it_serves(asker: Callable[..., Ask]) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    servicer.set("prepal.v1.EmbedderService", SERVING)
    servicer.set("prepal.v1.SelectorService", NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        embedder, selector, trainer = await asker(address)(lambda client: client.health())
    finally:
        server.stop(None).wait()
    assert embedder == prepal.Health(service="embedder", address=address, serving=True)
    assert (selector.serving, selector.detail) == (False, "the service cannot serve now")
    # This server never heard of the trainer.
    assert not trainer.serving
    assert "NOT_FOUND" in trainer.detail or "Check" in trainer.detail


async def test_a_service_that_is_away_is_told_with_the_remedy(asker: Callable[..., Ask]) -> None:
    states = await asker("127.0.0.1:1")(lambda client: client.health())
    assert [state.service for state in states] == ["embedder", "selector", "trainer"]
    assert all(not state.serving and "is `prepal up` running?" in state.detail for state in states)


@pytest.mark.parametrize("service", ["embedder", "selector", "trainer"])
def test_addresses_come_from_arguments_then_the_environment_then_the_default_ports(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prepal._channel import address_of

    variable = f"PREPAL_{service.upper()}"
    monkeypatch.delenv(variable, raising=False)
    default = {"embedder": "localhost:50051", "selector": "localhost:50052", "trainer": "localhost:50053"}[service]
    assert address_of(service, None) == default
    monkeypatch.setenv(variable, "far:1")
    assert address_of(service, None) == "far:1"
    assert address_of(service, "near:2") == "near:2"
