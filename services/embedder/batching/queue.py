"""What workers take next: people's requests before bulk work, but never bulk work last for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

from services.embedder.batching.batch import Batch, Waiting
from services.embedder.batching.lane import Lane

# A bulk window of 64 batches has so many sequences of each length that hardly any is padded; a person's own window is
# short, so that the next person's turn comes soon.
_BULK_BUDGETS: Final = 64
_INTERACTIVE_BUDGETS: Final = 16


class Urgency(StrEnum):
    """How soon a caller wants its answer."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class BatchQueue:
    """Hands batches to workers. Safe from many threads.

    Args:
        patience: Seconds after which a bulk batch goes before interactive ones.
        clock: Seconds that never go back.
    """

    def __init__(self, patience: float = 2.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._lanes = {
            Urgency.INTERACTIVE: Lane(Urgency.INTERACTIVE, _INTERACTIVE_BUDGETS),
            Urgency.BULK: Lane(Urgency.BULK, _BULK_BUDGETS),
        }
        self._patience = patience
        self._clock = clock
        self._bulk_turn = clock()
        self._closed = False
        self._changed = threading.Condition()

    @property
    def tokens(self) -> int:
        """Tokens of all that wait."""
        return sum(lane.tokens for lane in self._lanes.values())

    def put(self, waiting: Sequence[Waiting], urgency: Urgency, error: Callable[[], Exception]) -> None:
        """Adds sequences; of a closed queue, answers them with an error."""
        with self._changed:
            if not self._closed:
                bulk = self._lanes[Urgency.BULK]
                if urgency is Urgency.BULK and not bulk:
                    self._bulk_turn = self._clock()
                self._lanes[urgency].put(waiting)
                self._changed.notify_all()
                return
        for one in waiting:
            one.submission.refuse(error())

    def take(self) -> Batch | None:
        """Waits for a batch and returns it; None once the queue is closed."""
        with self._changed:
            while True:
                if self._closed:
                    return None
                batch = self._next()
                if batch is not None:
                    return batch
                self._changed.wait()

    def clear(self, error: Callable[[], Exception], *, close: bool = False) -> None:
        """Answers all that waits with an error; with `close`, workers end."""
        with self._changed:
            self._closed = self._closed or close
            left = [one for lane in self._lanes.values() for one in lane.clear()]
            self._changed.notify_all()
        for one in left:
            one.submission.refuse(error())

    def _next(self) -> Batch | None:
        now = self._clock()
        order = [Urgency.INTERACTIVE, Urgency.BULK]
        if self._lanes[Urgency.BULK] and now - self._bulk_turn >= self._patience:
            order.reverse()
        for urgency in order:
            batch = self._lanes[urgency].next(now)
            if batch is not None:
                if urgency is Urgency.BULK:
                    self._bulk_turn = now
                return batch
        return None
