"""Waiting for a service that is away: it is being restarted, and what was asked can be asked again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from prepal import errors

T = TypeVar("T")

# Seconds between two attempts; the client itself has tried for longer before each fails.
PAUSE = 1.0


class StoppedError(Exception):
    """Somebody asked the simulation to stop."""


class Patiently:
    """Makes calls, and makes them again while a service is away.

    Args:
        seconds: How long an absence may last, counted from the first call that failed.
        stop: Ends the waiting when it is set.
        tell: Is given one sentence when an absence begins, and one when it ends.
    """

    def __init__(self, seconds: float, stop: threading.Event, tell: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._stop = stop
        self._tell = tell

    def __call__(self, call: Callable[[], T]) -> T:
        """Returns what a call returns; the call must be one that can be repeated safely.

        Raises:
            StoppedError: `stop` was set.
            PrepalError: The call failed for another reason, or the absence lasted too long.
        """
        away_since: float | None = None
        while not self._stop.is_set():
            try:
                result = call()
            except errors.PrepalError as error:
                if not _passing(error):
                    raise
                now = time.monotonic()
                if away_since is None:
                    away_since = now
                    self._tell(f"waiting up to {self._seconds:.0f} s for a service that is away: {error}")
                if now - away_since >= self._seconds:
                    raise
                self._stop.wait(min(PAUSE, self._seconds))
            else:
                if away_since is not None:
                    self._tell("the service is back; going on")
                return result
        raise StoppedError


def _passing(error: errors.PrepalError) -> bool:
    """Whether the error is that of a service which may be back soon."""
    if isinstance(error, errors.Internal):
        # Without a reason it is the connection that broke, not a service that answered.
        return not error.reason
    return isinstance(error, errors.Unavailable | errors.DeadlineExceeded | errors.Overloaded)
