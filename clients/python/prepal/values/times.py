"""Moments and spans of time on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


def time_from(message: Timestamp) -> datetime:
    """Returns the moment, in UTC."""
    return message.ToDatetime(tzinfo=UTC)


def duration_to_message(seconds: float | timedelta | None, field: str) -> Duration | None:
    """Returns seconds as a message; None stays None, which is "not said".

    Raises:
        ValueError: for a number that is no span of time.
    """
    if seconds is None:
        return None
    span = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
    if not 0 <= span < 1e9:
        raise ValueError(f"{field} must be at least 0 seconds, got {span:g}")
    message = Duration()
    message.FromNanoseconds(round(span * 1e9))
    return message
