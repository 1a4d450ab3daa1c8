"""What a caller learns when a request fails: a gRPC status, a stable reason, and a sentence for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "prepal"


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request that cannot be taken, and why: limit, value, remedy."""

    field: str
    message: str


class InvalidRequest(Exception):
    """A request that its fields alone show to be wrong.

    Args:
        violations: every field at fault, at least one.
    """

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(v.message for v in violations))
        self.violations = tuple(violations)


class Overloaded(Exception):
    """The server has no room for this request now."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one kind of domain error is answered.

    Attributes:
        status: the gRPC status code.
        reason: stable, UPPER_SNAKE; goes into google.rpc.ErrorInfo.
        retry_after: seconds after which a retry may succeed; None sends no google.rpc.RetryInfo.
    """

    status: grpc.StatusCode
    reason: str
    retry_after: float | None = None


ErrorTable = Mapping[type[Exception], Answer]

# What every service answers alike.
SHARED: ErrorTable = {
    InvalidRequest: Answer(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    Overloaded: Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after=1.0),
}
UNEXPECTED = Answer(grpc.StatusCode.INTERNAL, "INTERNAL")
UNEXPECTED_MESSAGE = "the server failed to answer; its log has the details under this request id"


def answer_for(error: Exception, table: ErrorTable) -> Answer | None:
    """Returns the table's entry for the error's most specific class, or None when it has none."""
    for kind in type(error).__mro__:
        found = table.get(kind) or SHARED.get(kind)
        if found is not None:
            return found
    return None


def rich_status(error: Exception, answer: Answer, request_id: str) -> status_pb2.Status:
    """Returns the google.rpc.Status for an error.

    The message is `str(error)`, or a fixed text for `UNEXPECTED`, so that nothing internal leaks. `error.violations`
    (a sequence of `Violation`) becomes BadRequest and `error.metadata` (str to str) enters ErrorInfo, where there.
    """
    expected = answer is not UNEXPECTED
    message = str(error) if expected else UNEXPECTED_MESSAGE
    status = status_pb2.Status(code=answer.status.value[0], message=message)
    metadata: Mapping[str, str] = getattr(error, "metadata", {}) if expected else {}
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=answer.reason, domain=DOMAIN, metadata=metadata))
    violations: Sequence[Violation] = getattr(error, "violations", ()) if expected else ()
    if violations:
        bad = error_details_pb2.BadRequest()
        for violation in violations:
            bad.field_violations.add(field=violation.field, description=violation.message)
        status.details.add().Pack(bad)
    if answer.retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(int(answer.retry_after * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    return status
