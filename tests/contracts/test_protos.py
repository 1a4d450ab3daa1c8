"""The contract as a whole, read from its descriptors."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from prepal.v1 import embedder_pb2, selector_pb2, trainer_pb2

from tests.up import Up

METHODS = [
    pytest.param(service, method, id=f"{name}.{method.name}")
    for service, module, name in (
        ("embedder", embedder_pb2, "EmbedderService"),
        ("selector", selector_pb2, "SelectorService"),
        ("trainer", trainer_pb2, "TrainerService"),
    )
    for method in module.DESCRIPTOR.services_by_name[name].methods
]


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_no_rpc_is_declared_without_working(suite: Up, service: str, method: MethodDescriptor) -> None:
    """An empty request is answered, or refused with a reason of ours; never UNIMPLEMENTED, never INTERNAL."""
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    kind = ("stream" if method.client_streaming else "unary") + ("_stream" if method.server_streaming else "_unary")
    with grpc.insecure_channel(suite.addresses[service]) as channel:
        path = f"/{method.containing_service.full_name}/{method.name}"
        call = getattr(channel, kind)(path, request.SerializeToString, response.FromString)
        sent = iter([request()]) if method.client_streaming else request()
        refusal = None
        try:
            answer = call(sent, timeout=60)
            if method.server_streaming:
                list(answer)
        except grpc.RpcError as error:
            refusal = error
    if refusal is not None:
        assert refusal.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), refusal
        assert b"prepal" in dict(refusal.trailing_metadata())["grpc-status-details-bin"]
