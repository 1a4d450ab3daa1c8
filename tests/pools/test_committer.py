"""Group commits."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from services.pools import PoolNotFound, PoolStore, StoreUnavailable
from services.pools import committer as committer_module
from services.pools.addition import Addition, pack
from services.pools.committer import Committer
from services.pools.table import Staged, Table
from tests.pools.examples import DIMENSION, add, check, definition, item, items, vectors


def addition(number: int, count: int = 1) -> Addition:
    """Items from `number`."""
    added = items(number, number + count)
    return pack(added, vectors(added), DIMENSION)


class Gate:
    """A commit that waits until it may go on, and remembers its groups."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.begun = threading.Event()
        self.go = threading.Event()

    def commit(self, group: list[Addition], number: int) -> None:
        self.groups.append(len(group))
        self.begun.set()
        assert self.go.wait(30)


def wait_for(condition: threading.Condition, predicate: object) -> None:
    """Waits until the committer's queue is as it should be."""
    with condition:
        assert condition.wait_for(predicate, 30)


def test_callers_at_the_same_time_share_a_commit() -> None:
    gate = Gate()
    committer = Committer("test", gate.commit)
    with ThreadPoolExecutor(21) as executor:
        first = executor.submit(committer.add, addition(0))
        assert gate.begun.wait(30)
        others = [executor.submit(committer.add, addition(number)) for number in range(1, 21)]
        wait_for(committer._changed, lambda: len(committer._queue) == 20)
        assert not first.done()
        gate.go.set()
        for done in [first, *others]:
            done.result(30)
    assert gate.groups == [1, 20]
    committer.close()


def test_a_group_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer_module, "GROUP_ROWS", 10)
    gate = Gate()
    committer = Committer("test", gate.commit)
    with ThreadPoolExecutor(8) as executor:
        executor.submit(committer.add, addition(0))
        assert gate.begun.wait(30)
        for number in range(1, 8):
            executor.submit(committer.add, addition(number * 10, 11 if number == 7 else 4))
        wait_for(committer._changed, lambda: len(committer._queue) == 7)
        gate.go.set()
    committer.close()
    assert sum(gate.groups) == 8
    # At most two of 4 rows fit; what is larger than the limit goes alone.
    assert max(gate.groups) == 2


def test_a_full_queue_makes_callers_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer_module, "QUEUED_BYTES", 1)
    gate = Gate()
    committer = Committer("test", gate.commit)
    with ThreadPoolExecutor(5) as executor:
        executor.submit(committer.add, addition(0))
        assert gate.begun.wait(30)
        others = [executor.submit(committer.add, addition(number)) for number in range(1, 5)]
        wait_for(committer._changed, lambda: len(committer._queue) == 1)
        assert not any(other.done() for other in others)
        gate.go.set()
        for other in others:
            other.result(30)
    assert set(gate.groups) == {1}
    committer.close()


def test_a_failure_reaches_each_caller_and_the_next_group_goes_on() -> None:
    failures = iter([ValueError("first"), KeyboardInterrupt()])

    def commit(group: list[Addition], number: int) -> None:
        for failure in failures:
            raise failure

    committer = Committer("test", commit)
    with pytest.raises(ValueError, match="first"):
        committer.add(addition(0))
    with pytest.raises(KeyboardInterrupt):
        committer.add(addition(1))
    committer.add(addition(2))
    committer.close()


def test_a_pause_after_a_commit_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer_module, "REST_SECONDS", 0.01)
    rested = threading.Semaphore(0)

    def rest() -> None:
        rested.release()
        raise RuntimeError("logged, and the thread goes on")

    committer = Committer("test", lambda group, number: None, rest)
    for number in range(2):
        committer.add(addition(number))
        assert rested.acquire(timeout=10)
        assert not rested.acquire(timeout=0.05)
    committer.close()


def test_close_commits_what_waits_and_refuses_the_rest() -> None:
    gate = Gate()
    committer = Committer("test", gate.commit)
    with ThreadPoolExecutor(4) as executor:
        first = executor.submit(committer.add, addition(0))
        assert gate.begun.wait(30)
        second = executor.submit(committer.add, addition(1))
        wait_for(committer._changed, lambda: len(committer._queue) == 1)
        closed = executor.submit(committer.close)
        wait_for(committer._changed, lambda: committer._closed)
        with pytest.raises(StoreUnavailable, match="closed"):
            committer.add(addition(2))
        gate.go.set()
        for done in (first, second, closed):
            done.result(30)
    assert gate.groups == [1, 1]


def test_many_threads_append_whole_items_each_once(store: PoolStore) -> None:
    pool = store.create(definition())
    with ThreadPoolExecutor(8) as executor:
        # Every id is sent by two threads.
        list(executor.map(lambda number: add(pool, items(number * 10, number * 10 + 20)), range(40)))
    found = check(pool.snapshot())
    assert sorted(one.item_id for one in found) == [one.item_id for one in items(0, 410)]


def test_readers_of_a_growing_pool_see_whole_prefixes(store: PoolStore) -> None:
    pool = store.create(definition())
    ended = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not ended.is_set():
            snapshot = pool.snapshot()
            seen.append(len(check(snapshot)))
            known = pool.known([item(len(snapshot) - 1).item_id]) if len(snapshot) else {}
            assert len(known) == min(1, len(snapshot))

    with ThreadPoolExecutor(3) as executor:
        readers = [executor.submit(read) for _ in range(2)]
        for number in range(0, 300, 10):
            add(pool, items(number, number + 10))
        ended.set()
        for reader in readers:
            reader.result(30)
    assert check(pool.snapshot()) == items(0, 300)
    assert all(length % 10 == 0 for length in seen)


def test_a_deletion_waits_for_the_commit_that_has_begun(store: PoolStore, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = store.create(definition())
    begun, go = threading.Event(), threading.Event()
    commit = Table.commit

    def wait(self: Table, staged: Staged) -> int:
        begun.set()
        assert go.wait(30)
        return commit(self, staged)

    monkeypatch.setattr(Table, "commit", wait)
    with ThreadPoolExecutor(2) as executor:
        added = executor.submit(add, pool, items(0, 3))
        assert begun.wait(30)
        deleted = executor.submit(store.delete, "reviews")
        with pytest.raises(TimeoutError):
            deleted.result(0.1)
        go.set()
        assert deleted.result(30)
        # It was durable; whether the caller still sees the pool afterwards is a matter of chance.
        assert added.exception(30) is None or isinstance(added.exception(), PoolNotFound)
    assert store.names() == []


def test_a_pool_deleted_while_it_is_written_leaves_nothing(store: PoolStore) -> None:
    pool = store.create(definition())
    begun = threading.Event()

    def write(number: int) -> bool:
        for step in range(1_000):
            try:
                add(pool, items(number * 10_000 + step, number * 10_000 + step + 1))
            except PoolNotFound:
                return True
            begun.set()
        return False

    with ThreadPoolExecutor(4) as executor:
        writers = [executor.submit(write, number) for number in range(4)]
        assert begun.wait(30)
        assert store.delete("reviews")
        assert all(writer.result(60) for writer in writers)
    assert store.names() == []
    new = store.create(definition())
    assert len(new.snapshot()) == 0
    np.testing.assert_array_equal(new.snapshot().rows_of(["item-0000000"]), [-1])
