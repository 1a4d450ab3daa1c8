"""A real gRPC server whose answers a test writes: for what real services do only now and then, such as failing."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from prepal.v1 import embedder_pb2, selector_pb2, trainer_pb2

Answer = Callable[[Any, grpc.ServicerContext], Any]
"""Takes a request, or an iterator of them, and returns a response, or an iterator of them."""


def gives(response: Message | Sequence[Message]) -> Answer:
    """Answers with a message, or a stream of them."""
    return lambda request, context: response if isinstance(response, Message) else iter(response)


def refuses(
    code: grpc.StatusCode,
    message: str = "no",
    reason: str = "",
    *,
    violations: Sequence[tuple[str, str]] = (),
    retry_after: float | None = None,
    metadata: dict[str, str] | None = None,
) -> Answer:
    """Answers with an error, rich unless it has no reason."""
    status = status_pb2.Status(code=code.value[0], message=message)
    if reason:
        info = error_details_pb2.ErrorInfo(reason=reason, domain="prepal", metadata=metadata or {})
        status.details.add().Pack(info)
    if violations:
        bad = error_details_pb2.BadRequest()
        for field, description in violations:
            bad.field_violations.add(field=field, description=description)
        status.details.add().Pack(bad)
    if retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(retry_after * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))

    def answer(request: Any, context: grpc.ServicerContext) -> None:
        if reason or violations or retry_after is not None:
            context.abort_with_status(rpc_status.to_status(status))
        context.abort(code, message)

    return answer


class Scripted:
    """The three services on one port.

    Attributes:
        address: host:port.
        requests: what was asked, by RPC; of a client's stream each message.
        calls: how many calls of each RPC there were.
    """

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers(tuple(self._handlers()))
        port = self._server.add_insecure_port(address)
        self.address = f"127.0.0.1:{port}"
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self.calls: dict[str, int] = defaultdict(int)
        self._scripts: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()
        self._server.start()

    def script(self, rpc: str, *answers: Answer) -> None:
        """Sets how an RPC is answered: call by call, the last answer for all that follow."""
        self._scripts[rpc] = list(answers)

    def stop(self) -> None:
        """Ends the server, and calls in flight with it."""
        self._server.stop(None).wait()

    def _handlers(self) -> Iterator[grpc.GenericRpcHandler]:
        for module in (embedder_pb2, selector_pb2, trainer_pb2):
            for service in module.DESCRIPTOR.services_by_name.values():
                handlers = {method.name: self._handler(module, method) for method in service.methods}
                yield grpc.method_handlers_generic_handler(service.full_name, handlers)

    def _handler(self, module: Any, method: Any) -> grpc.RpcMethodHandler[Any, Any]:
        makers = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        request = getattr(module, method.input_type.name)
        response = getattr(module, method.output_type.name)

        def noted(requests: Iterator[Any]) -> Iterator[Any]:
            for one in requests:
                self.requests[method.name].append(one)
                yield one

        def behave(given: Any, context: grpc.ServicerContext) -> Any:
            with self._lock:
                self.calls[method.name] += 1
                answers = self._scripts[method.name]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if method.client_streaming:
                return answer(noted(given), context)
            self.requests[method.name].append(given)
            return answer(given, context)

        make = makers[method.client_streaming, method.server_streaming]
        return make(behave, request.FromString, response.SerializeToString)
