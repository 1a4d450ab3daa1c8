"""A service's life: start, health that follows the real thing, reflection, SIGTERM, drain, stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from services.serving.errors import ErrorTable
from services.serving.interceptor import Shell
from services.serving.logs import log_as_json
from services.serving.options import Options

LOGGER = logging.getLogger(__name__)
_PROBE_SECONDS = 1.0
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class CannotListen(Exception):
    """The address cannot be bound, most often because another process has the port."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What a room gives the shell.

    Attributes:
        name: the room's name, such as "embedder".
        full_name: the gRPC service's name, such as "prepal.v1.EmbedderService".
        add: registers the servicer on a server.
        errors: how the service's domain errors are answered.
        probe: raises while the service cannot do its work; asked about once a second, so it must be cheap.
        close: ends what the service holds, after the last RPC.
    """

    name: str
    full_name: str
    add: Callable[[grpc.aio.Server], None]
    errors: ErrorTable
    probe: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]


def run(name: str, start: Callable[[], Awaitable[Service]], options: Options) -> int:
    """Runs a service until SIGTERM or SIGINT and returns the exit status of its process.

    `start` makes the service and may take as long as it needs; the port is bound after it. An exception of `start` ends
    the process.
    """
    log_as_json(name)
    try:
        asyncio.run(_run(name, start, options))
    except CannotListen as error:
        LOGGER.critical("%s", error)
        return 1
    return 0


async def _run(name: str, start: Callable[[], Awaitable[Service]], options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.ensure_future(start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        return
    service = starting.result()
    if options.metrics_port:
        start_http_server(options.metrics_port, addr=options.host)
    async with running(service, options) as port:
        LOGGER.info("%s listens", name, extra={"host": options.host, "port": port})
        await stop.wait()
        LOGGER.info("%s drains", name)


@asynccontextmanager
async def running(service: Service, options: Options | None = None) -> AsyncIterator[int]:
    """Runs a service inside this event loop and yields its port; drains, stops and closes it on exit.

    Raises:
        CannotListen: the address is taken or not ours.
    """
    options = options or Options()
    server = grpc.aio.server(
        interceptors=(Shell(service.errors, options.max_requests),),
        options=(
            ("grpc.max_receive_message_length", options.max_message_bytes),
            ("grpc.max_send_message_length", options.max_message_bytes),
            # Two servers on one port would share its connections without a word.
            ("grpc.so_reuseport", 0),
            # Clients reconnect from time to time, so that new replicas get their share.
            ("grpc.max_connection_age_ms", 600_000),
            ("grpc.max_connection_age_grace_ms", 3_600_000),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ),
    )
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    service.add(server)
    reflection.enable_server_reflection(
        (service.full_name, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME), server
    )
    port = _bind(server, options)
    watcher = _HealthWatcher(service, health)
    await watcher.look()
    await server.start()
    watching = asyncio.create_task(watcher.follow())
    try:
        yield port
    finally:
        watching.cancel()
        await health.enter_graceful_shutdown()
        await server.stop(options.drain_seconds)
        await service.close()


def _bind(server: grpc.aio.Server, options: Options) -> int:
    address = f"{options.host}:{options.port}"
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        why = "another process may have the port; name another by --port"
        raise CannotListen(f"cannot listen on {address}: {why}") from error


class _HealthWatcher:
    """Keeps grpc.health.v1 what the service's probe says, for the service's name and for the whole server."""

    def __init__(self, service: Service, health: HealthServicer) -> None:
        self._service = service
        self._health = health
        self._status: int | None = None

    async def follow(self) -> None:
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            await self.look()

    async def look(self) -> None:
        try:
            await asyncio.wait_for(self._service.probe(), timeout=5 * _PROBE_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever a probe raises means that the service cannot work
            status, why = _NOT_SERVING, f"{type(error).__name__}: {error}"
        else:
            status, why = _SERVING, ""
        if status == self._status:
            return
        LOGGER.log(
            logging.INFO if status == _SERVING else logging.ERROR,
            "health is now %s",
            health_pb2.HealthCheckResponse.ServingStatus.Name(status),
            extra={"why": why} if why else {},
        )
        self._status = status
        for name in ("", self._service.full_name):
            await self._health.set(name, status)
