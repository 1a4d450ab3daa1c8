"""What can go wrong in a call, as exceptions.

Every error of the services becomes one of the classes here, chosen by the status the service answered with
(`BY_STATUS`). `reason` is stable and meant for programs; the text is a sentence for a person.

    >>> try:
    ...     client.get_pool("no-such-pool")
    ... except prepal.errors.NotFound as error:
    ...     print(error.reason)
    POOL_NOT_FOUND
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request that was refused."""

    field: str
    message: str


class PrepalError(Exception):
    """The base of every error of this package.

    Attributes:
        message: a sentence for a person: field, limit, value, remedy. Also what `str` gives.
        status: the gRPC status's name, "NOT_FOUND" for instance.
        reason: the service's stable reason, "POOL_NOT_FOUND" for instance; empty when the error did not come from a
            service of PRepAL.
        violations: the fields that were refused, in the order the service found them.
        retry_after: seconds after which the service wants to be asked again; None when it did not say.
        metadata: what the service says beside the message.
    """

    def __init__(
        self,
        message: str,
        *,
        status: str = "UNKNOWN",
        reason: str = "",
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.metadata = dict(metadata or {})


class NotFound(PrepalError):
    """A pool, project, item or job of that name does not exist."""


class InvalidRequest(PrepalError):
    """A field of the request is out of its range; `violations` name the fields."""


class AlreadyExists(PrepalError):
    """The name is taken by a pool or project with another definition."""


class FailedPrecondition(PrepalError):
    """The request is right, but not in the present state: no head yet, too few labels, a job that has not ended."""


class Unavailable(PrepalError):
    """A service, or what it needs, cannot be reached, and went on so for as long as the client is patient."""


class Overloaded(PrepalError):
    """A service has no room for the call, and had none until the deadline."""


class DeadlineExceeded(PrepalError):
    """A call took longer than its timeout. What it asked for may have happened all the same; repeating it is safe."""


class Refused(PrepalError):
    """The service does not let this client do that."""


class Internal(PrepalError):
    """A service failed in a way it did not expect; its log says more."""


class SuiteFailed(PrepalError):
    """The local suite did not start; the text ends with the tail of its log."""


# The one table from status to exception.
BY_STATUS: Final[Mapping[str, type[PrepalError]]] = {
    "NOT_FOUND": NotFound,
    "INVALID_ARGUMENT": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "ALREADY_EXISTS": AlreadyExists,
    "FAILED_PRECONDITION": FailedPrecondition,
    "ABORTED": FailedPrecondition,
    "UNAVAILABLE": Unavailable,
    "RESOURCE_EXHAUSTED": Overloaded,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNAUTHENTICATED": Refused,
    "PERMISSION_DENIED": Refused,
    "INTERNAL": Internal,
    "UNKNOWN": Internal,
    "DATA_LOSS": Internal,
    "UNIMPLEMENTED": Internal,
    "CANCELLED": Internal,
}
