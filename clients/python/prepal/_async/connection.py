"""One service as the client sees it: calls with deadlines, tried again while that may help, failing with our errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, cast

import grpc

from prepal import errors
from prepal._async_transport import AsyncExchange, AsyncTransport, sleep
from prepal._methods import Method, RequestT, ResponseT
from prepal._retry import Attempts, Patience
from prepal._status import FailedCall, Target, error_from

USUAL: Final = 60.0
"""Seconds for a call that names no timeout."""

LOADING: Final = 600.0
"""Seconds for a call that may load a backbone, or download it, the first time."""


class Connection:
    """Calls to one service."""

    def __init__(self, service: str, address: str, *, timeout: float | None, patience: Patience) -> None:
        self.service = service
        self.address = address
        self._timeout = timeout
        self._patience = patience
        self._transport = AsyncTransport(address)
        self._reached = False

    def seconds(self, timeout: float | None, default: float) -> float:
        """Returns a call's timeout: the call's own, else the client's, else the default of its kind.

        Raises:
            ValueError: when it is not more than 0.
        """
        chosen = timeout if timeout is not None else self._timeout if self._timeout is not None else default
        if not chosen > 0:
            raise ValueError(f"timeout must be more than 0 seconds, got {chosen:g}")
        return chosen

    def attempts(self, timeout: float) -> Attempts:
        """Returns the attempts of a call that begins now."""
        return Attempts(timeout=timeout, patience=self._patience)

    async def call(
        self, method: Method[RequestT, ResponseT], request: RequestT, timeout: float | None, default: float = USUAL
    ) -> ResponseT:
        """Sends a request and returns its response, trying again while the service is away or overloaded.

        Raises:
            PrepalError: when the service refuses, or the time is over.
        """
        seconds = self.seconds(timeout, default)
        attempts = self.attempts(seconds)
        while True:
            try:
                return await self.call_once(method, request, max(attempts.remaining(), 0.001))
            except errors.PrepalError as error:
                await self.wait(attempts, error)

    async def call_once(self, method: Method[RequestT, ResponseT], request: RequestT, timeout: float) -> ResponseT:
        """Sends a request and returns its response; does not try again.

        Raises:
            PrepalError: when it fails.
        """
        try:
            response = await self._transport.unary(method, request, timeout)
        except grpc.RpcError as failed:
            raise self.error(failed, method.name, timeout) from failed
        self._reached = True
        return response

    async def responses(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        timeout: float,
    ) -> AsyncGenerator[ResponseT, None]:
        """Sends a request and yields its responses, once; who iterates decides whether to begin again.

        Closing the generator ends the call.

        Raises:
            PrepalError: when the stream fails.
        """
        try:
            async with aclosing(self._transport.responses(method, request, timeout)) as responses:
                async for response in responses:
                    self._reached = True
                    yield response
        except grpc.RpcError as failed:
            raise self.error(failed, method.name, timeout) from failed

    def exchange(self, method: Method[RequestT, ResponseT], timeout: float) -> AsyncExchange[RequestT, ResponseT]:
        """Opens a stream in both directions; its reads raise grpc.RpcError, which `error` translates."""
        return self._transport.exchange(method, timeout)

    async def wait(self, attempts: Attempts, error: errors.PrepalError) -> None:
        """Waits until the next attempt, or raises the error when there is none."""
        delay = attempts.delay(error, reached_before=self._reached)
        if delay is None:
            raise attempts.cause(error)
        await sleep(delay)

    def error(self, failed: grpc.RpcError, method: str, timeout: float) -> errors.PrepalError:
        """Returns the exception of a failed call, and notes whether the service itself has answered."""
        error = error_from(cast(FailedCall, failed), Target(self.service, self.address, method, timeout))
        if error.reason:
            self._reached = True
        return error

    def reached(self) -> None:
        """Notes that the service has answered."""
        self._reached = True

    async def close(self) -> None:
        """Closes the connection; calls in flight are cancelled."""
        await self._transport.close()
