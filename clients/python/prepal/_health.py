"""The standard health protocol, grpc.health.v1, described here so that no further package is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from prepal._methods import EMBEDDER, SELECTOR, TRAINER, Method

_SERVICES: Final = {"embedder": EMBEDDER, "selector": SELECTOR, "trainer": TRAINER}

_SERVING: Final = 1
_STATES: Final = {0: "the service does not know its state", 2: "the service cannot serve now", 3: "unknown service"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether a service can serve now.

    Attributes:
        service: "embedder", "selector" or "trainer".
        address: where it was asked.
        serving: whether it can serve.
        detail: why not; empty when it can.
    """

    service: str
    address: str
    serving: bool
    detail: str = ""


def _messages() -> tuple[Any, Any]:
    """Builds the two messages in a pool of their own, where they cannot meet those of grpcio-health-checking."""
    file = descriptor_pb2.FileDescriptorProto(name="prepal_health.proto", package="grpc.health.v1", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    response = file.message_type.add(name="HealthCheckResponse")
    # An open enum travels as an int32.
    response.field.add(name="status", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    classes = message_factory.GetMessageClassesForFiles([file.name], pool)
    return classes["grpc.health.v1.HealthCheckRequest"], classes["grpc.health.v1.HealthCheckResponse"]


_REQUEST, _RESPONSE = _messages()

CHECK: Final[Method[Any, Any]] = Method("grpc.health.v1.Health", "Check", _REQUEST, _RESPONSE)


def health_request(service: str) -> Any:
    """Returns the question for a service's health."""
    return _REQUEST(service=_SERVICES[service])


def health_from_message(service: str, address: str, message: Any) -> Health:
    """Returns what the service answered."""
    serving = message.status == _SERVING
    detail = "" if serving else _STATES.get(message.status, f"status {message.status}")
    return Health(service=service, address=address, serving=serving, detail=detail)
