"""What the synchronous client needs of grpc, threads and time. `_async_transport` offers the same with await."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

import grpc

from prepal._channel import channel_options
from prepal._methods import Method, RequestT, ResponseT

ValueT = TypeVar("ValueT")

Source = Iterable[ValueT]
"""Values from an iterable, which is consumed in the caller's thread."""


class SyncTransport:
    """One channel to one service, connected at the first call. May be used by several threads."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: grpc.Channel | None = None
        self._lock = threading.Lock()

    def unary(self, method: Method[RequestT, ResponseT], request: RequestT, timeout: float) -> ResponseT:
        """Sends a request and returns its response; raises grpc.RpcError."""
        call = self._open().unary_unary(method.path, method.serialize, method.deserialize)
        response: ResponseT = call(request, timeout=timeout)
        return response

    def responses(
        self, method: Method[RequestT, ResponseT], request: RequestT, timeout: float
    ) -> Generator[ResponseT, None, None]:
        """Sends a request and yields its responses; raises grpc.RpcError. Closing the generator cancels the call."""
        call = self._open().unary_stream(method.path, method.serialize, method.deserialize)(request, timeout=timeout)
        try:
            yield from call
        finally:
            call.cancel()

    def exchange(self, method: Method[RequestT, ResponseT], timeout: float) -> SyncExchange[RequestT, ResponseT]:
        """Opens a stream in both directions."""
        stub = self._open().stream_stream(method.path, method.serialize, method.deserialize)
        requests: queue.SimpleQueue[RequestT | None] = queue.SimpleQueue()
        return SyncExchange(requests, stub(iter(requests.get, None), timeout=timeout))

    def close(self) -> None:
        """Closes the channel; calls in flight are cancelled."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None

    def _open(self) -> grpc.Channel:
        with self._lock:
            if self._channel is None:
                self._channel = grpc.insecure_channel(self._address, options=channel_options(self._address))
            return self._channel


class SyncExchange(Generic[RequestT, ResponseT]):
    """A stream in both directions, written and read by one thread.

    gRPC takes the requests from the queue in a thread of its own, so `write` never waits; who writes bounds how many
    requests wait there.
    """

    def __init__(self, requests: queue.SimpleQueue[RequestT | None], call: Any) -> None:
        self._requests = requests
        self._call = call

    def write(self, request: RequestT) -> None:
        """Sends a request. On a stream that has ended it does nothing: the next read says why it ended."""
        self._requests.put(request)

    def read(self) -> ResponseT | None:
        """Returns the next response, None when the service has ended the stream well; raises grpc.RpcError."""
        response: ResponseT | None = next(self._call, None)
        return response

    def done_writing(self) -> None:
        """Says that no request follows."""
        self._requests.put(None)

    def cancel(self) -> None:
        """Ends the stream now, if it has not ended, and the thread that takes the requests."""
        self._call.cancel()
        self._requests.put(None)


def each(source: Source[ValueT]) -> Iterator[ValueT]:
    """Yields the values of a source."""
    yield from source


def sleep(seconds: float) -> None:
    """Waits."""
    time.sleep(seconds)
