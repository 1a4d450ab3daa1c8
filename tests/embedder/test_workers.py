"""Every sequence is answered, whatever happens to the batch or to the thread that runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.embedder.batching.queue import BatchQueue, Urgency
from services.embedder.batching.workers import Workers
from services.embedder.errors import WorkerDied
from tests.embedder.fakes import DEADLY, NAN, POISON, SLOW, FakeEngine, submit

PATIENCE = 10


@pytest.fixture
def queue() -> Iterator[BatchQueue]:
    queue = BatchQueue()
    workers = Workers(queue, 2)
    assert workers.alive()
    yield queue
    queue.clear(WorkerDied, close=True)
    workers.close()
    assert not workers.alive()


def test_each_caller_gets_its_own_vectors(queue: BatchQueue) -> None:
    engine = FakeEngine()
    first, a = submit(engine, (1, 2), (3,))
    second, b = submit(engine, (1, 2), (5, 5, 5))
    queue.put([*a, *b], Urgency.BULK, WorkerDied)
    assert first.future.result(PATIENCE).tolist() == [[2, 3, 1], [1, 3, 3]]
    assert second.future.result(PATIENCE).tolist() == [[2, 3, 1], [3, 15, 5]]


def test_one_poison_text_fails_alone(queue: BatchQueue) -> None:
    engine = FakeEngine(budget=64)
    submission, waiting = submit(engine, *((number,) for number in range(1, 17)), (POISON,), (20,))
    queue.put(waiting, Urgency.BULK, WorkerDied)
    vectors = submission.future.result(PATIENCE)
    assert list(submission.failed) == [16]
    assert "RuntimeError" in submission.failed[16]
    assert "poison" not in submission.failed[16]
    assert vectors[:16, 1].tolist() == list(range(1, 17))
    assert vectors[17, 1] == 20


def test_a_vector_that_is_not_finite_fails_alone(queue: BatchQueue) -> None:
    submission, waiting = submit(FakeEngine(), (1,), (NAN,), (2,))
    queue.put(waiting, Urgency.BULK, WorkerDied)
    vectors = submission.future.result(PATIENCE)
    assert list(submission.failed) == [1]
    assert "finite" in submission.failed[1]
    assert vectors[[0, 2], 1].tolist() == [1, 2]


def test_when_a_thread_dies_its_callers_are_told_and_another_takes_its_place(queue: BatchQueue) -> None:
    engine = FakeEngine()
    for _ in range(4):
        killed, waiting = submit(engine, (DEADLY,), (1,))
        queue.put(waiting, Urgency.BULK, WorkerDied)
        with pytest.raises(WorkerDied):
            killed.future.result(PATIENCE)
    alive, waiting = submit(engine, (7,))
    queue.put(waiting, Urgency.BULK, WorkerDied)
    assert alive.future.result(PATIENCE).tolist() == [[1, 7, 7]]


def test_when_a_thread_dies_inside_the_queue_nobody_waits_for_ever(
    queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        monkeypatch.undo()
        raise MemoryError

    monkeypatch.setattr("services.embedder.batching.lane.cut", broken)
    submission, waiting = submit(FakeEngine(), (1,), (2,))
    queue.put(waiting, Urgency.BULK, WorkerDied)
    # The other worker may be first to plan what the dying one left.
    assert isinstance(submission.future.exception(PATIENCE), WorkerDied | None)


def test_a_person_passes_bulk_work_that_waits(queue: BatchQueue) -> None:
    engine = FakeEngine(budget=1)
    # Both workers are busy; more bulk work waits, and then a person comes.
    slow, waiting = submit(engine, (SLOW,), (SLOW + 1000, SLOW))
    queue.put(waiting, Urgency.BULK, WorkerDied)
    assert engine.entered.wait(PATIENCE)
    bulk, more = submit(engine, *((number,) for number in range(1, 9)))
    queue.put(more, Urgency.BULK, WorkerDied)
    person, urgent = submit(engine, (77,))
    queue.put(urgent, Urgency.INTERACTIVE, WorkerDied)
    engine.release.set()
    person.future.result(PATIENCE)
    bulk.future.result(PATIENCE)
    slow.future.result(PATIENCE)
    order = [batch[0][0] for batch in engine.batches]
    assert order.index(77) < order.index(8)
