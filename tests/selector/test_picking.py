"""The best rows by score, against sorting them all."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.selector.acquisition import best


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), max_size=40),
    st.integers(-1, 45),
)
def test_the_best_free_rows_come_first_and_ties_go_to_the_lower_row(rows: list[tuple[int, bool]], k: int) -> None:
    scores = np.array([score / 2 for score, _ in rows], np.float64)
    free = np.array([is_free for _, is_free in rows], np.bool_)
    ranked = sorted((row for row in range(len(rows)) if free[row]), key=lambda row: (-scores[row], row))
    assert best(scores, free, k).tolist() == ranked[: max(k, 0)]


def test_among_many_equal_scores_the_lowest_rows_are_picked() -> None:
    scores = np.zeros(1_000)
    scores[[900, 20]] = 1.0
    assert best(scores, np.ones(1_000, np.bool_), 5).tolist() == [20, 900, 0, 1, 2]
