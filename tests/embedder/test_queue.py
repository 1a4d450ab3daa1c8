"""What workers take next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.embedder.batching.batch import Waiting
from services.embedder.batching.lane import Lane
from services.embedder.batching.queue import BatchQueue, Urgency
from services.embedder.errors import TooLate, WorkerDied
from tests.embedder.fakes import FakeEngine, submit

SEQUENCES = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=9).map(tuple), max_size=40)


def waiting(engine: FakeEngine, *sequences: tuple[int, ...]) -> list[Waiting]:
    return submit(engine, *sequences)[1]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(SEQUENCES)
def test_every_sequence_comes_out_once_and_within_the_budget(sequences: list[tuple[int, ...]]) -> None:
    engine, lane = FakeEngine(budget=12), Lane("test", budgets=3)
    put = waiting(engine, *sequences)
    lane.put(put)
    seen = []
    while (batch := lane.next(0.0)) is not None:
        lengths = [len(unit.tokens.ids) for unit in batch.units]
        assert len(lengths) == 1 or max(lengths) * len(lengths) <= engine.budget
        seen += [one for unit in batch.units for one in unit.waiting]
    assert sorted(one.row for one in seen) == list(range(len(sequences)))
    assert lane.tokens == 0
    assert not lane


@given(SEQUENCES, st.lists(SEQUENCES, max_size=12))
def test_the_wait_of_a_sequence_is_bounded_whatever_comes_after_it(
    early: list[tuple[int, ...]], late: list[list[tuple[int, ...]]]
) -> None:
    engine, lane = FakeEngine(budget=12), Lane("test", budgets=3)
    first = waiting(engine, *early)
    lane.put(first)
    left = {id(one) for one in first}
    tokens_before = sum(len(one.tokens.ids) for one in first)
    taken = 0
    arrivals = iter(late)
    while left:
        batch = lane.next(0.0)
        assert batch is not None
        taken += 1
        left -= {id(one) for unit in batch.units for one in unit.waiting}
        lane.put(waiting(engine, *next(arrivals, [])))
    # Each window of 36 tokens ends with what came before it; a batch has at least one of its tokens.
    assert taken <= tokens_before + 3 * engine.budget


def test_equal_sequences_share_one_forward_pass() -> None:
    engine, lane = FakeEngine(), Lane("test", budgets=8)
    lane.put(waiting(engine, (1, 2), (3,), (1, 2), (1, 2, 3)))
    batch = lane.next(0.0)
    assert batch is not None
    assert [(unit.tokens.ids.tolist(), len(unit.waiting)) for unit in batch.units] == [
        ([1, 2, 3], 1), ([1, 2], 2), ([3], 1)
    ]  # fmt: skip


def test_a_batch_has_one_engine_and_engines_take_turns() -> None:
    first, second = FakeEngine(budget=2), FakeEngine(budget=2)
    lane = Lane("test", budgets=1)
    lane.put(waiting(first, (1,), (2,), (3,), (4,)))
    lane.put(waiting(second, (1,), (2,)))
    order = []
    while (batch := lane.next(0.0)) is not None:
        order.append(batch.engine)
    assert order == [first, second, first]


def test_people_go_before_bulk_work() -> None:
    engine, queue = FakeEngine(budget=1), BatchQueue()
    bulk, person = waiting(engine, (1,), (2,)), waiting(engine, (3,))
    queue.put(bulk, Urgency.BULK, WorkerDied)
    queue.put(person, Urgency.INTERACTIVE, WorkerDied)
    assert [taken(queue), taken(queue), taken(queue)] == [3, 1, 2]


def test_bulk_work_gets_its_turn_when_its_patience_ends() -> None:
    engine, clock = FakeEngine(budget=1), Clock()
    queue = BatchQueue(patience=2.0, clock=clock)
    queue.put(waiting(engine, (1,), (2,)), Urgency.BULK, WorkerDied)
    queue.put(waiting(engine, (3,), (4,), (5,)), Urgency.INTERACTIVE, WorkerDied)
    assert taken(queue) == 3
    clock.now += 2.0
    assert taken(queue) == 1
    assert taken(queue) == 4


def taken(queue: BatchQueue) -> int:
    batch = queue.take()
    assert batch is not None
    return int(batch.units[0].tokens.ids[0])


def test_what_nobody_waits_for_is_dropped_before_its_forward_pass() -> None:
    engine, clock = FakeEngine(), Clock()
    queue = BatchQueue(clock=clock)
    gone, left = submit(engine, (1,), (2,))
    late, expired = submit(engine, (3,), deadline=clock.now + 1)
    kept, stays = submit(engine, (4,), (1,))
    queue.put([*left, *expired, *stays], Urgency.BULK, WorkerDied)
    gone.cancel()
    clock.now += 1
    batch = queue.take()
    assert batch is not None
    # (1,) was asked for by both; the one who waits still gets it.
    assert sorted(unit.tokens.ids.tolist() for unit in batch.units) == [[1], [4]]
    assert all(one.submission is kept for unit in batch.units for one in unit.waiting)
    assert isinstance(late.future.exception(timeout=0), TooLate)


def test_a_closed_queue_answers_what_waits_and_what_still_comes() -> None:
    engine, queue = FakeEngine(), BatchQueue()
    before, waits = submit(engine, (1,))
    after, comes = submit(engine, (2,))
    queue.put(waits, Urgency.BULK, WorkerDied)
    queue.clear(WorkerDied, close=True)
    queue.put(comes, Urgency.INTERACTIVE, WorkerDied)
    assert queue.take() is None
    for submission in (before, after):
        with pytest.raises(WorkerDied):
            submission.future.result(timeout=0)


def test_newcomers_join_the_window_that_is_open_until_it_has_had_its_tokens() -> None:
    engine, lane = FakeEngine(budget=4), Lane("test", budgets=3)
    lane.put(waiting(engine, (1, 1, 1), (2,), (3,)))
    first = lane.next(0.0)
    assert first is not None
    # Five tokens came in, of twelve; of these eight the first seven fit.
    lane.put(waiting(engine, *((number,) for number in range(4, 11)), (11,)))
    order = []
    while (batch := lane.next(0.0)) is not None:
        order.append(sorted(int(unit.tokens.ids[0]) for unit in batch.units))
    assert order == [[2, 3, 4, 5], [6, 7, 8, 9], [10], [11]]
