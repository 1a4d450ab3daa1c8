"""What is kept between calls: what it was computed of, and how much there may be."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from services.selector.scoring import Shelf

Array = npt.NDArray[np.float64]


def counted(calls: list[Array | None], size: int = 10) -> Callable[[Array | None], Array]:
    def update(known: Array | None) -> Array:
        calls.append(known)
        return np.full(size, float(len(calls)))

    return update


def test_a_value_is_given_to_the_next_update_while_its_stamp_holds() -> None:
    shelf, calls = Shelf(1 << 20), []
    first = shelf.kept("key", "one", 5, counted(calls))
    shelf.kept("key", "one", 9, counted(calls))
    shelf.kept("key", "two", 9, counted(calls))
    assert calls[0] is None
    assert calls[1] is first
    assert calls[2] is None


def test_a_value_of_more_rows_serves_nobody_with_fewer_and_stays() -> None:
    shelf, calls = Shelf(1 << 20), []
    shelf.kept("key", "one", 5, counted(calls))
    large = shelf.kept("key", "one", 9, counted(calls))
    shelf.kept("key", "one", 5, counted(calls))
    assert calls[2] is None, "an older view of the pool must not see newer rows"
    shelf.kept("key", "one", 9, counted(calls))
    assert calls[3] is large


def test_the_longest_unused_go_when_there_is_too_much() -> None:
    shelf, calls = Shelf(100 * 8), []
    for key in "abc":
        shelf.kept(key, 0, 1, counted(calls, 30))
    shelf.kept("a", 0, 1, lambda known: known)
    shelf.kept("d", 0, 1, counted(calls, 30))
    assert shelf.bytes == 90 * 8
    seen: list[Array | None] = []
    for key in "acd":
        shelf.kept(key, 0, 1, counted(seen, 30))
    assert all(known is not None for known in seen)
    shelf.kept("b", 0, 1, counted(seen, 1))
    assert seen[-1] is None


def test_a_value_above_the_limit_is_kept_while_it_is_the_newest() -> None:
    shelf, calls = Shelf(8), []
    shelf.kept("small", 0, 1, counted(calls, 1))
    large = shelf.kept("large", 0, 1, counted(calls, 1_000))
    assert shelf.bytes == large.nbytes
    shelf.kept("small", 0, 1, counted(calls, 1))
    assert shelf.bytes == 8


def test_a_grown_value_is_counted_at_its_new_size() -> None:
    shelf = Shelf(1 << 20)
    for size in (10, 500, 20):
        shelf.kept("key", 0, 1, lambda _, size=size: np.zeros(size))
    assert shelf.bytes == 20 * 8


def test_several_threads_compute_a_key_once_at_a_time() -> None:
    shelf, inside, most = Shelf(1 << 20), [0], [0]
    together = threading.Barrier(4)

    def update(known: Array | None) -> Array:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        total = float(np.linalg.norm(np.ones((200, 200)) @ np.ones((200, 200))))
        inside[0] -= 1
        return np.zeros(1) + total if known is None else known

    def work() -> None:
        together.wait()
        shelf.kept("key", 0, 1, update)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_an_update_that_fails_leaves_what_was_there() -> None:
    shelf, calls = Shelf(1 << 20), []
    first = shelf.kept("key", 0, 1, counted(calls))

    def fail(known: Array | None) -> Array:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        shelf.kept("key", 0, 1, fail)
    shelf.kept("key", 0, 1, counted(calls))
    assert calls[-1] is first
