"""The client: all calls to the three services."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from prepal._async.connection import Connection
from prepal._async.health import health_of
from prepal._async.items import ItemCalls
from prepal._async.jobs import JobCalls
from prepal._async.labeling import LabelingCalls
from prepal._async.pools import PoolCalls
from prepal._async.projects import ProjectCalls
from prepal._channel import address_of
from prepal._health import Health
from prepal._retry import Patience


class AsyncClient(PoolCalls, ItemCalls, ProjectCalls, LabelingCalls, JobCalls):
    """All calls to the embedder, the selector and the trainer.

    Connects at the first call to each service, so making a client neither waits nor fails. Calls are tried again while
    a service is away or overloaded, for as long as their timeout and the client's patience allow; each can be repeated
    safely. An `AsyncClient` belongs to one event loop; a `Client` may be used by several threads.

    Args:
        embedder: "host:port" of the embedder; by default what PREPAL_EMBEDDER says, else localhost:50051.
        selector: "host:port" of the selector; by default what PREPAL_SELECTOR says, else localhost:50052.
        trainer: "host:port" of the trainer; by default what PREPAL_TRAINER says, else localhost:50053.
        timeout: seconds for calls that name none; by default each kind of call has its own, 60 for most.
        patience: how long a service that cannot be reached is waited for.

    >>> async with AsyncClient() as client:
    ...     pool = await client.create_pool("reviews", backbone="minilm")
    """

    def __init__(
        self,
        *,
        embedder: str | None = None,
        selector: str | None = None,
        trainer: str | None = None,
        timeout: float | None = None,
        patience: Patience | None = None,
    ) -> None:
        patience = patience or Patience()
        self._embedder = Connection("embedder", address_of("embedder", embedder), timeout=timeout, patience=patience)
        self._selector = Connection("selector", address_of("selector", selector), timeout=timeout, patience=patience)
        self._trainer = Connection("trainer", address_of("trainer", trainer), timeout=timeout, patience=patience)

    async def health(self, *, timeout: float = 5.0) -> list[Health]:
        """Asks each service whether it can serve now; never raises for one that cannot.

        Args:
            timeout: seconds for each service.

        >>> [health.serving for health in await client.health()]
        [True, True, True]
        """
        return [await health_of(connection, timeout) for connection in self._connections()]

    async def close(self) -> None:
        """Closes the connections; calls in flight are cancelled. A later call connects again."""
        for connection in self._connections():
            await connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _connections(self) -> tuple[Connection, Connection, Connection]:
        return self._embedder, self._selector, self._trainer
