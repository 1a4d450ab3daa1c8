"""A tiny servicer under the shell: it answers, or fails in the way the request's text asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from prepal.v1 import embedder_pb2, embedder_pb2_grpc

from services.serving import Answer, Checks, Service


class TooRed(Exception):
    """A domain error with metadata."""

    def __init__(self) -> None:
        super().__init__("colour must be blue, got red; choose another")
        self.metadata = {"colour": "red"}


class MuchTooRed(TooRed):
    """A domain error without an entry of its own."""


class Echo(embedder_pb2_grpc.EmbedderServiceServicer):
    """Fails in the way that the pool's name asks."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def GetPool(self, request: embedder_pb2.GetPoolRequest, context: Any) -> embedder_pb2.GetPoolResponse:
        self.entered.set()
        match request.name:
            case "wait":
                try:
                    await self.go_on.wait()
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
            case "red":
                raise TooRed
            case "much-too-red":
                raise MuchTooRed
            case "secret":
                raise RuntimeError("the password is xyzzy")
            case "abort":
                await context.abort(grpc.StatusCode.OUT_OF_RANGE, "as it is")
            case _:
                checks = Checks()
                checks.name("name", request.name)
                checks.done()
        return embedder_pb2.GetPoolResponse(pool=embedder_pb2.Pool(name=request.name))

    async def AddItems(
        self, requests: AsyncIterator[embedder_pb2.AddItemsRequest], context: Any
    ) -> AsyncIterator[embedder_pb2.AddItemsResponse]:
        position = 0
        async for request in requests:
            if request.pool == "red":
                raise TooRed
            yield embedder_pb2.AddItemsResponse(chunk=position)
            position += 1


class Fitness:
    """Whether the echo service says it can work."""

    def __init__(self) -> None:
        self.fit = True
        self.closed = False

    async def probe(self) -> None:
        if not self.fit:
            raise ConnectionError("the store does not answer")

    async def close(self) -> None:
        self.closed = True


def echo_service(echo: Echo, fitness: Fitness) -> Service:
    """The echo servicer as a service of the shell."""
    return Service(
        name="echo",
        full_name="prepal.v1.EmbedderService",
        add=lambda server: embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(echo, server),
        errors={TooRed: Answer(grpc.StatusCode.FAILED_PRECONDITION, "TOO_RED", retry_after=2.5)},
        probe=fitness.probe,
        close=fitness.close,
    )
