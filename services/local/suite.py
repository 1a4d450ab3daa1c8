"""Which processes make the suite, in the order they start; they stop in the reverse order."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.local.child import Child, ChildSpec
from services.local.readiness import redis_answers, service_serves
from services.local.redis import server_command

LOGGER = logging.getLogger(__name__)
HOST = "127.0.0.1"


class DataInUse(Exception):
    """Another suite runs over the same data folder."""


class PortTaken(Exception):
    """Another process listens where a service should."""


@dataclass(frozen=True, kw_only=True)
class SuiteOptions:
    """What `prepal up` may be told.

    Attributes:
        data: the folder that holds everything; made when it is not there.
        embedder_port, selector_port, trainer_port: where the services listen on loopback; 0 takes a free port.
        workers: trainer workers, 0 to 64.
        redis_url: a Redis that runs already; empty starts the embedded one.
    """

    data: Path
    embedder_port: int = 50051
    selector_port: int = 50052
    trainer_port: int = 50053
    workers: int = 1
    redis_url: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError that names the option, its limit and its value."""
        for name in ("embedder_port", "selector_port", "trainer_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise ValueError(f"{name.replace('_', '-')} must be between 0 and 65535, got {getattr(self, name)}")
        if not 0 <= self.workers <= 64:
            raise ValueError(f"workers must be between 0 and 64, got {self.workers}")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A running suite.

    Attributes:
        embedder, selector, trainer: the services' addresses, host:port.
        children: its processes, in the order they were started.
    """

    embedder: str
    selector: str
    trainer: str
    children: tuple[Child, ...]


@asynccontextmanager
async def running_suite(options: SuiteOptions) -> AsyncIterator[Suite]:
    """Starts the suite, yields it when every service is SERVING, and stops every process on exit.

    Raises:
        DataInUse: another suite has the folder.
        PortTaken: a port is another process's.
        DiedWhileStarting: a process ended before it was ready.
    """
    data = options.data.resolve()
    logs = data / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        stack.enter_context(_locked(data))
        children: list[Child] = []

        async def start(*specs: ChildSpec) -> None:
            together = [Child(spec) for spec in specs]
            for child in together:
                children.append(child)
                stack.push_async_callback(child.stop)
            await asyncio.gather(*(child.start() for child in together))

        redis_url = options.redis_url
        if not redis_url:
            (data / "redis").mkdir(exist_ok=True)
            # A Unix socket's path may have about 100 bytes, and a data folder's more.
            sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prepal-")))
            redis_url = f"unix://{sockets / 'redis.sock'}"
            await start(
                ChildSpec(
                    name="redis",
                    command=server_command(data / "redis", sockets / "redis.sock"),
                    log=logs / "redis.log",
                    ready=partial(redis_answers, redis_url),
                )
            )
        embedder = f"{HOST}:{_free_port('embedder-port', options.embedder_port)}"
        selector = f"{HOST}:{_free_port('selector-port', options.selector_port)}"
        trainer = f"{HOST}:{_free_port('trainer-port', options.trainer_port)}"
        environment = {
            "PREPAL_DATA": str(data),
            "PREPAL_REDIS_URL": redis_url,
            "PREPAL_EMBEDDER": embedder,
            "PREPAL_SELECTOR": selector,
            "PREPAL_TRAINER": trainer,
            # Tokenizers warn, and switch their threads off, after a fork that a worker makes.
            "TOKENIZERS_PARALLELISM": os.environ.get("TOKENIZERS_PARALLELISM", "true"),
        }
        python = [sys.executable, "-m"]
        services = [
            ChildSpec(
                name=name,
                command=[*python, f"services.{name}", "--host", HOST, "--port", address.rpartition(":")[2]],
                log=logs / f"{name}.log",
                environment=environment,
                ready=partial(service_serves, address),
            )
            for name, address in (("embedder", embedder), ("selector", selector), ("trainer", trainer))
        ]
        workers = [
            ChildSpec(
                name=f"worker-{number}",
                command=[*python, "services.trainer.worker"],
                log=logs / f"worker-{number}.log",
                environment=environment,
            )
            for number in range(options.workers)
        ]
        await start(*services, *workers)
        yield Suite(embedder=embedder, selector=selector, trainer=trainer, children=tuple(children))


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """Holds the data folder; the kernel gives it back when this process ends in whatever way."""
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataInUse(
                f"another suite runs over {data}; stop it, use it (prepal status), or name another folder by --data"
            ) from None
        yield


def _free_port(option: str, port: int) -> int:
    """Returns the port, or a free one for 0. Raises PortTaken, since a stranger's service would look like ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortTaken(
                f"{option} {port} cannot be had ({error.strerror}); name another by --{option}, or 0 for a free one"
            ) from error
        found: int = probe.getsockname()[1]
        return found
