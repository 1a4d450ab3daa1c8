"""Sequences of one urgency, planned a window at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from services.embedder.batching import metrics
from services.embedder.batching.batch import Batch, Unit, Waiting
from services.embedder.batching.plan import cut, window
from services.embedder.encoding.engine import Engine


class Lane:
    """Waiting sequences, first come, first served by the window: within one, batches go by length.

    A window takes newcomers until it has had its tokens, those that ran already among them. So a sequence waits for the
    windows before its own and for no more than one window's tokens in its own, whatever its length and whatever comes
    after it. Not safe from several threads.

    Args:
        name: What it is called in the metrics.
        budgets: The size of a window in an engine's token budgets.

    Attributes:
        tokens: Tokens of all that wait.
    """

    def __init__(self, name: str, budgets: int) -> None:
        self._budgets = budgets
        self._waiting: dict[Engine, deque[Waiting]] = {}
        self._window = _Window()
        self._gauge = metrics.QUEUE_TOKENS.labels(name)
        self.tokens = 0

    def __bool__(self) -> bool:
        return bool(self._window.batches or self._waiting)

    def put(self, waiting: Sequence[Waiting]) -> None:
        """Adds sequences behind those that wait."""
        for one in waiting:
            self._waiting.setdefault(one.engine, deque()).append(one)
        self._count(sum(len(one.tokens.ids) for one in waiting))

    def next(self, now: float) -> Batch | None:
        """Returns the next batch, without what nobody waits for any more; None when nothing waits."""
        while self:
            self._admit()
            batch = self._window.batches.popleft()
            self._count(-sum(len(unit.tokens.ids) * len(unit.waiting) for unit in batch.units))
            units = [unit for unit in batch.units if unit.prune(now)]
            if units:
                return Batch(batch.engine, units)
        return None

    def clear(self) -> list[Waiting]:
        """Empties the lane and returns what waited."""
        planned = [one for batch in self._window.batches for unit in batch.units for one in unit.waiting]
        left = planned + [one for queue in self._waiting.values() for one in queue]
        self._window = _Window()
        self._waiting.clear()
        self._count(-self.tokens)
        return left

    def _admit(self) -> None:
        """Lets newcomers into the window; where it is over, opens the next for the engine that was asked first."""
        opened = self._window if self._window.batches else _Window(engine=next(iter(self._waiting)))
        assert opened.engine is not None  # noqa: S101 - a window has batches of one, or has just been given one
        engine = opened.engine
        queue = self._waiting.get(engine, deque())
        room = engine.budget * self._budgets - opened.admitted
        count = window((len(one.tokens.ids) for one in queue), room)
        if not count or (opened.admitted and len(queue[0].tokens.ids) > room):
            return
        units = {unit.key: Unit(unit.tokens, list(unit.waiting)) for batch in opened.batches for unit in batch.units}
        known = len(units)
        for one in islice(queue, count):
            units.setdefault(one.key, Unit(one.tokens, [])).waiting.append(one)
        distinct = list(units.values())
        batches = cut([len(unit.tokens.ids) for unit in distinct], engine.budget)
        admitted = opened.admitted + sum(len(one.tokens.ids) for one in islice(queue, count))
        # Nothing leaves the queue before all is planned, so that a failure above loses nothing.
        self._window = _Window(
            engine, deque(Batch(engine, [distinct[row] for row in rows]) for rows in batches), admitted
        )
        del self._waiting[engine]
        if left := deque(islice(queue, count, None)):
            # Behind the other engines, which have their windows first.
            self._waiting[engine] = left
        metrics.REPEATED.inc(count - (len(distinct) - known))

    def _count(self, tokens: int) -> None:
        self.tokens += tokens
        self._gauge.inc(tokens)


@dataclass(frozen=True, slots=True)
class _Window:
    """What is planned together.

    Attributes:
        engine: Whose it is; None before the first.
        batches: What has not run yet.
        admitted: Tokens of all that came in.
    """

    engine: Engine | None = None
    batches: deque[Batch] = field(default_factory=deque)
    admitted: int = 0
