"""From a failed RPC to an exception: decodes the `google.rpc.Status` that services send with their errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import grpc
from google.rpc import error_details_pb2, status_pb2

from prepal import errors

_DETAILS_KEY = "grpc-status-details-bin"


class FailedCall(Protocol):
    """What both kinds of grpc error offer."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


@dataclass(frozen=True, slots=True)
class Target:
    """What was called: the service as a person names it, where, and which RPC."""

    service: str
    address: str
    method: str
    timeout: float


def error_from(call: FailedCall, target: Target) -> errors.PrepalError:
    """Returns the exception that a failed call means."""
    status = call.code().name
    message = call.details() or ""
    reason, metadata, violations, retry_after = "", {}, [], None
    rich = _rich_status(call)
    for detail in rich.details if rich is not None else ():
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            violations = [errors.Violation(item.field, item.description) for item in bad.field_violations]
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    if not reason:
        if _is_broken_connection(status, message):
            status = "UNAVAILABLE"
        message = _explain(status, message, target)
    for violation in violations:
        if violation.message not in message:
            message = f"{message}; {violation.message}" if message else violation.message
    return errors.BY_STATUS.get(status, errors.Internal)(
        message or f"{target.service} answered {status} to {target.method}",
        status=status,
        reason=reason,
        violations=violations,
        retry_after=retry_after,
        metadata=metadata,
    )


def _rich_status(call: FailedCall) -> status_pb2.Status | None:
    """Returns the status with details that came with the error, if one did."""
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return None


def _is_broken_connection(status: str, details: str) -> bool:
    """Returns whether gRPC means that the connection broke, which it does not always call UNAVAILABLE.

    A service that ends while it answers resets the stream, or cancels the call; the client cancels none that it waits
    for, except by closing its own channel.
    """
    return "RST_STREAM" in details or (status == "CANCELLED" and "Channel closed" not in details)


def _explain(status: str, details: str, target: Target) -> str:
    """Returns a sentence for an error that did not come from a service of PRepAL but from gRPC itself."""
    where = f"the {target.service} at {target.address}"
    match status:
        case "UNAVAILABLE":
            # gRPC names the cause last: "...: Failed to connect to remote host: Connection refused".
            return f"cannot reach {where}: is `prepal up` running? ({details.rpartition(': ')[2] or status})"
        case "DEADLINE_EXCEEDED":
            seconds = f"{target.timeout:.2g}" if target.timeout < 10 else f"{target.timeout:.0f}"
            return (
                f"{where} did not answer {target.method} within {seconds} seconds; "
                f"give a longer timeout, or look at `prepal status`"
            )
        case "UNIMPLEMENTED":
            return f"{where} does not know {target.method}: is it this service, and of the same version as prepal?"
        case "RESOURCE_EXHAUSTED":
            return f"{where} refused {target.method}: {details}"
        case _:
            return f"{target.method} failed at {where}: {details or status}"
