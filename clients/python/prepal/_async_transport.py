"""What the asynchronous client needs of grpc, asyncio and time. `_sync_transport` offers the same without await."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import grpc
import grpc.aio

from prepal._channel import channel_options
from prepal._methods import Method, RequestT, ResponseT
from prepal._sync_transport import SyncExchange, SyncTransport

ValueT = TypeVar("ValueT")

Source = Iterable[ValueT] | AsyncIterable[ValueT]
"""Values from an iterable, which is consumed in the event loop's thread, or from an asynchronous one."""


class AsyncTransport:
    """One channel to one service, connected at the first call."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: grpc.aio.Channel | None = None
        self._exchanges = SyncTransport(address)

    async def unary(self, method: Method[RequestT, ResponseT], request: RequestT, timeout: float) -> ResponseT:
        """Sends a request and returns its response; raises grpc.RpcError."""
        call = self._open().unary_unary(method.path, method.serialize, method.deserialize)
        response: ResponseT = await call(request, timeout=timeout)
        return response

    async def responses(
        self, method: Method[RequestT, ResponseT], request: RequestT, timeout: float
    ) -> AsyncGenerator[ResponseT, None]:
        """Sends a request and yields its responses; raises grpc.RpcError. Closing the generator cancels the call."""
        call = self._open().unary_stream(method.path, method.serialize, method.deserialize)(request, timeout=timeout)
        try:
            async for response in call:
                yield response
        finally:
            call.cancel()

    def exchange(self, method: Method[RequestT, ResponseT], timeout: float) -> AsyncExchange[RequestT, ResponseT]:
        """Opens a stream in both directions."""
        return AsyncExchange(self._exchanges.exchange(method, timeout))

    async def close(self) -> None:
        """Closes the channels; calls in flight are cancelled."""
        self._exchanges.close()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._address, options=channel_options(self._address))
        return self._channel


class AsyncExchange(Generic[RequestT, ResponseT]):
    """A stream in both directions, written and read by one task.

    Built on the synchronous stream and one thread. The asynchronous stream of grpc replaces the status that the
    service gave by an INTERNAL of its own when a write meets the end of the stream, so that nobody could tell a pool
    that does not exist from a broken connection.
    """

    def __init__(self, exchange: SyncExchange[RequestT, ResponseT]) -> None:
        self._exchange = exchange
        self._reader = ThreadPoolExecutor(1, "prepal-reader")

    async def write(self, request: RequestT) -> None:
        """Sends a request. On a stream that has ended it does nothing: the next read says why it ended."""
        self._exchange.write(request)

    async def read(self) -> ResponseT | None:
        """Returns the next response, None when the service has ended the stream well; raises grpc.RpcError."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._exchange.read)

    async def done_writing(self) -> None:
        """Says that no request follows."""
        self._exchange.done_writing()

    def cancel(self) -> None:
        """Ends the stream now, if it has not ended, and its threads."""
        self._exchange.cancel()
        self._reader.shutdown(wait=False)


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
