"""Clients of both kinds, asked in one way."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import prepal
import pytest

from tests.sdk.scripted import Scripted

Ask = Callable[[Callable[[Any], Any]], Awaitable[Any]]
"""Makes a call of a client and returns what it gave; an iterator's values as a list."""

QUICK = prepal.Patience(first_contact=1.0, restart=5.0, first_delay=0.01, longest_delay=0.05)


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A scripted server."""
    scripted = Scripted()
    yield scripted
    scripted.stop()


@pytest.fixture(params=["sync", "async"])
async def asker(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Ask]]:
    """Makes clients of one kind; a test that takes it runs once with each kind."""
    clients: list[Any] = []

    def make(address: str, patience: prepal.Patience = QUICK, timeout: float | None = None) -> Ask:
        kind = prepal.Client if request.param == "sync" else prepal.AsyncClient
        client: Any = kind(embedder=address, selector=address, trainer=address, patience=patience, timeout=timeout)
        clients.append(client)
        return ask_sync(client) if request.param == "sync" else ask_async(client)

    yield make
    for client in clients:
        closed = client.close()
        if inspect.isawaitable(closed):
            await closed


@pytest.fixture
def ask(asker: Callable[..., Ask], server: Scripted) -> Ask:
    """Asks the scripted server."""
    return asker(server.address)


def ask_sync(client: prepal.Client) -> Ask:
    """Asks a synchronous client, in a thread so that the test's event loop goes on."""

    def call(what: Callable[[Any], Any]) -> Any:
        given = what(client)
        return list(given) if inspect.isgenerator(given) else given

    return lambda what: asyncio.to_thread(call, what)


def ask_async(client: prepal.AsyncClient) -> Ask:
    """Asks an asynchronous client."""

    async def call(what: Callable[[Any], Any]) -> Any:
        given = what(client)
        return [value async for value in given] if inspect.isasyncgen(given) else await given

    return call
