"""Threads that run batches: each sequence that goes in is answered, whatever happens to the thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import numpy as np

from services.embedder.batching import metrics
from services.embedder.batching.batch import Batch, Unit
from services.embedder.batching.queue import BatchQueue
from services.embedder.encoding.engine import Engine, pad
from services.embedder.errors import WorkerDied

LOGGER = logging.getLogger(__name__)
_NOT_FINITE = "its vector is not finite; the backbone overflows on this text"


class Workers:
    """Takes batches from a queue and runs them until the queue is closed.

    Args:
        queue: Where batches come from.
        count: Batches that run at once.
    """

    def __init__(self, queue: BatchQueue, count: int) -> None:
        self._queue = queue
        self._threads: dict[int, threading.Thread] = {}
        self._closed = False
        self._lock = threading.Lock()
        for number in range(count):
            self._start(number)

    def alive(self) -> bool:
        """Tells whether every worker works."""
        return not self._closed and all(thread.is_alive() for thread in list(self._threads.values()))

    def close(self) -> None:
        """Waits for the workers to end; the queue must be closed."""
        with self._lock:
            self._closed = True
        for thread in list(self._threads.values()):
            thread.join()

    def _start(self, number: int) -> None:
        with self._lock:
            if not self._closed:
                thread = threading.Thread(target=self._work, args=(number,), name=f"forward-{number}", daemon=True)
                thread.start()
                self._threads[number] = thread

    def _work(self, number: int) -> None:
        batch: Batch | None = None
        try:
            while (batch := self._queue.take()) is not None:
                _run(batch.engine, batch.units)
        except BaseException:
            LOGGER.exception("a worker died; another takes its place")
            if batch is None:
                # It died inside the queue, so nobody knows whose sequences it had in hand.
                self._queue.clear(WorkerDied)
            else:
                for unit in batch.units:
                    unit.refuse(WorkerDied())
            self._start(number)


def _run(engine: Engine, units: Sequence[Unit]) -> None:
    """Embeds units and answers them. A batch that fails is halved until what fails alone is found."""
    begun = time.perf_counter()
    try:
        batch = pad([unit.tokens for unit in units], engine.pad_id)
        vectors = engine.embed(batch)
    except Exception as error:
        if len(units) > 1:
            LOGGER.warning("a batch of %d failed and is halved", len(units), extra={"why": str(error)[:200]})
            middle = len(units) // 2
            _run(engine, units[:middle])
            _run(engine, units[middle:])
            return
        LOGGER.exception("a text of %d tokens cannot be embedded", len(units[0].tokens.ids))
        _fail(units[0], f"the backbone fails on it ({type(error).__name__})")
        return
    seconds = time.perf_counter() - begun
    real = int(batch.mask.sum())
    metrics.FORWARD_SECONDS.inc(seconds)
    metrics.TOKENS.inc(real)
    metrics.PADDING.inc(batch.mask.size - real)
    metrics.BATCH_ROWS.observe(len(units))
    metrics.BATCH_TOKENS.observe(batch.mask.size)
    metrics.TEXTS.inc(sum(len(unit.waiting) for unit in units))
    broken = set(np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist())
    for row, unit in enumerate(units):
        if row in broken:
            _fail(unit, _NOT_FINITE)
        else:
            unit.deliver(vectors[row])


def _fail(unit: Unit, why: str) -> None:
    metrics.FAILED.inc(len(unit.waiting))
    unit.fail(why)
