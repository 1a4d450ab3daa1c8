"""When a failed call is tried again, and after how long. Decides only; the connection sleeps."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from prepal import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long an unreachable service is waited for.

    Attributes:
        first_contact: seconds, when the service has never answered this client: a person who forgot to start it wants
            to know soon.
        restart: seconds, when it has: it may be restarting, and loading a backbone takes a while.
        first_delay: seconds before the first further attempt; each later one waits twice as long, with jitter.
        longest_delay: the longest wait between two attempts, in seconds.
    """

    first_contact: float = 3.0
    restart: float = 60.0
    first_delay: float = 0.1
    longest_delay: float = 2.0


class Attempts:
    """What one call has tried, and whether it may try again.

    Every RPC of the contract can be repeated safely, so what decides is only whether a repetition may help: the
    service could not be reached, or asks to be called again later.
    """

    def __init__(
        self,
        *,
        timeout: float,
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._patience = patience
        self._clock = clock
        self._draw = draw
        self._deadline = clock() + timeout
        self._away_since: float | None = None
        self._failures = 0
        self._passing: errors.PrepalError | None = None

    def remaining(self) -> float:
        """Returns the seconds left of the timeout, at least 0."""
        return max(0.0, self._deadline - self._clock())

    def delay(self, error: errors.PrepalError, *, reached_before: bool) -> float | None:
        """Returns the seconds to wait before the next attempt; None when the error is final.

        Args:
            error: what the newest attempt failed with.
            reached_before: whether the service has ever answered this client.
        """
        now = self._clock()
        wait = self._wait(error)
        if wait is None or now + wait >= self._deadline:
            return None
        if isinstance(error, errors.Unavailable):
            if self._away_since is None:
                self._away_since = now
            answered = reached_before or bool(error.reason)
            patience = self._patience.restart if answered else self._patience.first_contact
            if now + wait - self._away_since > patience:
                return None
        self._failures += 1
        self._passing = error
        return wait

    def cause(self, error: errors.PrepalError) -> errors.PrepalError:
        """Returns why the call failed, given its last error.

        When the time ended during a further attempt, the reason is what made that attempt necessary.
        """
        return self._passing if self._passing and isinstance(error, errors.DeadlineExceeded) else error

    def _wait(self, error: errors.PrepalError) -> float | None:
        """Returns how long the error asks to be waited, whatever time is left."""
        if isinstance(error, errors.Overloaded | errors.Unavailable) and error.retry_after is not None:
            # Up to a fifth more, so that clients that were refused together do not come back together.
            return error.retry_after * (1 + 0.2 * self._draw())
        if isinstance(error, errors.Unavailable):
            longest = min(self._patience.longest_delay, self._patience.first_delay * 2.0**self._failures)
            return longest * (0.5 + 0.5 * self._draw())
        return None
