"""Sequences of one urgency, planned a window at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from services.embedder.batching import metrics
from services.embedder.batching.batch import Batch, Unit, Waiting
from services.embedder.batching.plan import cut, window
from services.embedder.encoding.engine import Engine


class Lane:
    """Waiting sequences, first come, first served by the window: within one, batches go by length.

    A sequence waits for the windows before its own, and no newcomer gets into a window that is planned, so that the
    wait of each is bounded whatever its length. Not safe from several threads.

    Args:
        name: What it is called in the metrics.
        budgets: The size of a window in an engine's token budgets.

    Attributes:
        tokens: Tokens of all that wait.
    """

    def __init__(self, name: str, budgets: int) -> None:
        self._budgets = budgets
        self._waiting: dict[Engine, deque[Waiting]] = {}
        self._planned: deque[Batch] = deque()
        self._gauge = metrics.QUEUE_TOKENS.labels(name)
        self.tokens = 0

    def __bool__(self) -> bool:
        return bool(self._planned or self._waiting)

    def put(self, waiting: Sequence[Waiting]) -> None:
        """Adds sequences behind those that wait."""
        for one in waiting:
            self._waiting.setdefault(one.engine, deque()).append(one)
        self._count(sum(len(one.tokens.ids) for one in waiting))

    def next(self, now: float) -> Batch | None:
        """Returns the next batch, without what nobody waits for any more; None when nothing waits."""
        while self:
            if not self._planned:
                self._plan()
            batch = self._planned.popleft()
            self._count(-sum(len(unit.tokens.ids) * len(unit.waiting) for unit in batch.units))
            units = [unit for unit in batch.units if unit.prune(now)]
            if units:
                return Batch(batch.engine, units)
        return None

    def clear(self) -> list[Waiting]:
        """Empties the lane and returns what waited."""
        planned = [one for batch in self._planned for unit in batch.units for one in unit.waiting]
        left = planned + [one for queue in self._waiting.values() for one in queue]
        self._planned.clear()
        self._waiting.clear()
        self._count(-self.tokens)
        return left

    def _plan(self) -> None:
        """Plans a window of the engine that was asked first, and puts that engine behind the others."""
        engine, queue = next(iter(self._waiting.items()))
        count = window((len(one.tokens.ids) for one in queue), engine.budget * self._budgets)
        units: dict[tuple[bytes, bytes], Unit] = {}
        for one in islice(queue, count):
            units.setdefault(one.key, Unit(one.tokens, [])).waiting.append(one)
        distinct = list(units.values())
        batches = cut([len(unit.tokens.ids) for unit in distinct], engine.budget)
        # Nothing leaves the queue before all is planned, so that a failure above loses nothing.
        self._planned.extend(Batch(engine, [distinct[row] for row in rows]) for rows in batches)
        del self._waiting[engine]
        if left := deque(islice(queue, count, None)):
            self._waiting[engine] = left
        metrics.REPEATED.inc(count - len(distinct))

    def _count(self, tokens: int) -> None:
        self.tokens += tokens
        self._gauge.inc(tokens)
