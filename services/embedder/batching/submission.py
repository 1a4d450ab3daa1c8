"""The sequences of one caller, and the answer that the caller waits for."""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from services.embedder.errors import TooLate


class Submission:
    """Collects what becomes of a caller's sequences; the future is answered when the last of them is settled.

    Args:
        rows: Sequences, at least 1.
        dimension: H.
        deadline: When the caller stops waiting, on the clock of `time.monotonic`; None for never.

    Attributes:
        future: The vectors, float32, shape (rows, H); of a failed row they mean nothing.
        failed: Why rows failed, by row.
    """

    def __init__(self, rows: int, dimension: int, deadline: float | None = None) -> None:
        self.future: Future[npt.NDArray[np.float32]] = Future()
        # A future that runs cannot be cancelled from outside, so that settling it never races with that.
        self.future.set_running_or_notify_cancel()
        self.failed: dict[int, str] = {}
        self._vectors = np.zeros((rows, dimension), np.float32)
        self._left = rows
        self._deadline = deadline
        self._cancelled = False
        self._lock = threading.Lock()

    def dropped(self, now: float) -> str:
        """Returns why nobody waits for the rest any more: "cancelled", "expired" or "answered"; empty while one does.

        A caller whose deadline has passed is told so here.
        """
        if self._cancelled:
            return "cancelled"
        if self.future.done():
            return "answered"
        if self._deadline is not None and now >= self._deadline:
            self.refuse(TooLate())
            return "expired"
        return ""

    def cancel(self) -> None:
        """Notes that the caller has gone."""
        self._cancelled = True

    def refuse(self, error: BaseException) -> None:
        """Answers the caller with an error; what is left is dropped."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)

    def deliver(self, row: int, vector: npt.NDArray[np.float32]) -> None:
        """Takes one row's vector, shape (H,)."""
        self._vectors[row] = vector
        self._settle()

    def fail(self, row: int, why: str) -> None:
        """Notes that one row has no vector."""
        self.failed[row] = why
        self._settle()

    def _settle(self) -> None:
        with self._lock:
            self._left -= 1
            complete = not self._left
        if complete:
            with suppress(InvalidStateError):
                self.future.set_result(self._vectors)
