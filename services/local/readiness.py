"""How the suite knows that a child does its work: Redis answers PING, a service's health says SERVING."""

from __future__ import annotations

import asyncio

import grpc
import redis.asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

_PAUSE = 0.05


async def redis_answers(url: str) -> None:
    """Returns once Redis answers and has loaded its data."""
    async with redis.asyncio.Redis.from_url(url) as client:
        while True:
            try:
                await client.ping()
            except (redis.ConnectionError, redis.BusyLoadingError, OSError):
                await asyncio.sleep(_PAUSE)
            else:
                return


async def service_serves(address: str) -> None:
    """Returns once grpc.health.v1 at `address` (host:port) says SERVING for the whole server."""
    # Without a short limit on reconnecting, gRPC waits up to seconds between tries while the service still starts.
    options = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500))
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                async for response in stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True):
                    if response.status == health_pb2.HealthCheckResponse.SERVING:
                        return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(_PAUSE)
