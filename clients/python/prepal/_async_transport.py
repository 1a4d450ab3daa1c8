"""What the asynchronous client needs of grpc, asyncio and time. `_sync_transport` offers the same without await."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio

from prepal._channel import channel_options
from prepal._methods import Method, RequestT, ResponseT

ValueT = TypeVar("ValueT")

Source = Iterable[ValueT] | AsyncIterable[ValueT]
"""Values from an iterable, which is consumed in the event loop's thread, or from an asynchronous one."""


class AsyncTransport:
    """One channel to one service, connected at the first call."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: grpc.aio.Channel | None = None

    async def unary(self, method: Method[RequestT, ResponseT], request: RequestT, timeout: float) -> ResponseT:
        """Sends a request and returns its response; raises grpc.RpcError."""
        call = self._open().unary_unary(method.path, method.serialize, method.deserialize)
        response: ResponseT = await call(request, timeout=timeout)
        return response

    async def responses(
        self, method: Method[RequestT, ResponseT], request: RequestT, timeout: float
    ) -> AsyncIterator[ResponseT]:
        """Sends a request and yields its responses; raises grpc.RpcError. Leaving the iteration cancels the call."""
        call = self._open().unary_stream(method.path, method.serialize, method.deserialize)(request, timeout=timeout)
        try:
            async for response in call:
                yield response
        finally:
            call.cancel()

    def exchange(self, method: Method[RequestT, ResponseT], timeout: float) -> AsyncExchange[RequestT, ResponseT]:
        """Opens a stream in both directions."""
        stub = self._open().stream_stream(method.path, method.serialize, method.deserialize)
        return AsyncExchange(stub(timeout=timeout))

    async def close(self) -> None:
        """Closes the channel; calls in flight are cancelled."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._address, options=channel_options(self._address))
        return self._channel


class AsyncExchange(Generic[RequestT, ResponseT]):
    """A stream in both directions, written and read by one task."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def write(self, request: RequestT) -> None:
        """Sends a request. On a stream that has ended it does nothing: the next read says why it ended."""
        try:
            await self._call.write(request)
        except (asyncio.InvalidStateError, grpc.RpcError):
            return

    async def read(self) -> ResponseT | None:
        """Returns the next response, None when the service has ended the stream well; raises grpc.RpcError."""
        response = await self._call.read()
        return None if response is grpc.aio.EOF else response

    async def done_writing(self) -> None:
        """Says that no request follows."""
        try:
            await self._call.done_writing()
        except (asyncio.InvalidStateError, grpc.RpcError):
            return

    def cancel(self) -> None:
        """Ends the stream now, if it has not ended."""
        self._call.cancel()


async def each(source: Source[ValueT]) -> AsyncIterator[ValueT]:
    """Yields the values of either kind of source."""
    if isinstance(source, AsyncIterable):
        async for value in source:
            yield value
    else:
        for value in source:
            yield value


async def sleep(seconds: float) -> None:
    """Waits."""
    await asyncio.sleep(seconds)
