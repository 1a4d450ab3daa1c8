"""Batches under a token budget: definitions."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.embedder.batching.plan import cut, window

LENGTHS = st.lists(st.integers(1, 300), max_size=200)
BUDGETS = st.integers(1, 2000)


@given(LENGTHS, BUDGETS)
def test_a_plan_covers_every_sequence_exactly_once(lengths: list[int], budget: int) -> None:
    rows = np.concatenate([np.empty(0, int), *cut(lengths, budget)])
    assert sorted(rows.tolist()) == list(range(len(lengths)))


@given(LENGTHS, BUDGETS)
def test_no_batch_of_several_exceeds_the_budget_padding_included(lengths: list[int], budget: int) -> None:
    for batch in cut(lengths, budget):
        longest = max(lengths[row] for row in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget


@given(LENGTHS, BUDGETS)
def test_batches_go_from_long_to_short_and_are_full_but_the_last(lengths: list[int], budget: int) -> None:
    batches = cut(lengths, budget)
    ordered = [lengths[row] for batch in batches for row in batch]
    assert ordered == sorted(lengths, reverse=True)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * lengths[batch[0]] > budget


@given(LENGTHS, BUDGETS)
def test_a_window_holds_what_fits_and_always_something(lengths: list[int], limit: int) -> None:
    count = window(iter(lengths), limit)
    assert count == 1 or sum(lengths[:count]) <= limit
    assert count >= min(1, len(lengths))
    assert count == len(lengths) or sum(lengths[: count + 1]) > limit


def test_a_window_reads_no_further_than_it_reaches() -> None:
    read = []

    def lengths() -> object:
        for length in range(1, 1000):
            read.append(length)
            yield 10

    assert window(lengths(), 35) == 3  # type: ignore[arg-type]
    assert len(read) == 4
