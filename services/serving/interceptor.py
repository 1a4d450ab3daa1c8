"""What happens around every RPC: a request id, a limit of those in flight, errors as statuses, metrics, a log line."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
from grpc_status import rpc_status
from prometheus_client import Counter, Gauge, Histogram

from services.serving.errors import UNEXPECTED, ErrorTable, Overloaded, answer_for, rich_status
from services.serving.logs import REQUEST_ID

LOGGER = logging.getLogger(__name__)
REQUEST_ID_KEY = "x-request-id"
_OURS = "/prepal.v1."

_REQUESTS = Counter("prepal_requests_total", "RPCs answered.", ["method", "status"])
_SECONDS = Histogram(
    "prepal_request_seconds",
    "Seconds from an RPC's start to its end.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
_IN_FLIGHT = Gauge("prepal_requests_in_flight", "RPCs being answered.", ["method"])

Context = grpc.aio.ServicerContext[Any, Any]


class Shell(grpc.aio.ServerInterceptor):
    """Wraps every RPC of the project's own services; health and reflection pass untouched.

    Args:
        errors: how the service's domain errors are answered.
        max_requests: RPCs in flight beyond which new ones are answered RESOURCE_EXHAUSTED.
    """

    def __init__(self, errors: ErrorTable, max_requests: int) -> None:
        self._errors = errors
        self._max_requests = max_requests
        self._in_flight = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns the method's handler with everything around it."""
        handler = await continuation(handler_call_details)
        path: str = handler_call_details.method
        if handler is None or not path.startswith(_OURS):
            return handler
        method = path.removeprefix(_OURS)
        kind = ("stream" if handler.request_streaming else "unary") + (
            "_stream" if handler.response_streaming else "_unary"
        )
        inner = getattr(handler, kind)

        async def one(request: Any, context: Context) -> Any:
            async with self._around(method, context):
                return await inner(request, context)

        async def many(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self._around(method, context):
                async for response in inner(request, context):
                    yield response

        make = getattr(grpc, f"{kind}_rpc_method_handler")
        wrapped: grpc.RpcMethodHandler[Any, Any] = make(
            many if handler.response_streaming else one,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return wrapped

    @asynccontextmanager
    async def _around(self, method: str, context: Context) -> AsyncIterator[None]:
        request_id = _request_id(context)
        REQUEST_ID.set(request_id)
        context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
        with _measured(method) as outcome:
            try:
                with self._place():
                    yield
            except grpc.aio.AbortError:
                outcome.status = context.code().name
                raise
            except (asyncio.CancelledError, GeneratorExit):
                outcome.status = grpc.StatusCode.CANCELLED.name
                raise
            except Exception as error:
                answer = answer_for(error, self._errors) or UNEXPECTED
                outcome.status = answer.status.name
                outcome.reason = answer.reason
                if answer is UNEXPECTED:
                    LOGGER.exception("%s failed unexpectedly", method)
                status = rpc_status.to_status(rich_status(error, answer, request_id))
                trailing = (*status.trailing_metadata, (REQUEST_ID_KEY, request_id))
                await context.abort(status.code, status.details, trailing)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._in_flight >= self._max_requests:
            raise Overloaded(f"the server has its limit of {self._max_requests} requests in flight; try again shortly")
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1


class _Outcome:
    """How an RPC ended, for its log line and its metrics."""

    def __init__(self) -> None:
        self.status = grpc.StatusCode.OK.name
        self.reason = ""


@contextmanager
def _measured(method: str) -> Iterator[_Outcome]:
    outcome = _Outcome()
    begun = time.perf_counter()
    _IN_FLIGHT.labels(method).inc()
    try:
        yield outcome
    finally:
        seconds = time.perf_counter() - begun
        _IN_FLIGHT.labels(method).dec()
        _REQUESTS.labels(method, outcome.status).inc()
        _SECONDS.labels(method).observe(seconds)
        extra = {"method": method, "status": outcome.status, "seconds": round(seconds, 6)}
        if outcome.reason:
            extra["reason"] = outcome.reason
        LOGGER.log(logging.INFO if outcome.status == "OK" else logging.WARNING, "answered", extra=extra)


def _request_id(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and 0 < len(value) <= 128 and value.isprintable():
            return value
    return uuid.uuid4().hex
