"""Pooling against loops over tokens."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from services.embedder.encoding.pairs import combined, widened
from services.embedder.encoding.pooling import POOLINGS
from services.pools import PairMode, Pooling

LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=6)


@settings(max_examples=50)
@given(LENGTHS, st.integers(0, 3), st.integers(0, 1000), st.sampled_from(list(Pooling)))
def test_pooling_is_what_a_loop_over_the_tokens_says(
    lengths: list[int], padding: int, seed: int, pooling: Pooling
) -> None:
    rng = np.random.default_rng(seed)
    width = max(lengths) + padding
    states = rng.standard_normal((len(lengths), width, 4)).astype(np.float32)
    mask = np.array([[1] * length + [0] * (width - length) for length in lengths])
    pooled = POOLINGS[pooling](torch.from_numpy(states), torch.from_numpy(mask)).numpy()
    for row, length in enumerate(lengths):
        tokens = [states[row, column].astype(np.float64) for column in range(length)]
        expected = {
            Pooling.MEAN: sum(tokens) / length,
            Pooling.CLS: tokens[0],
            Pooling.LAST_TOKEN: tokens[-1],
        }[pooling]
        np.testing.assert_allclose(pooled[row], expected, rtol=1e-5, atol=1e-6)


def test_pairs_are_combined_as_the_contract_says() -> None:
    u, v = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32), np.array([[4.0, 2.0], [0.5, -1.0]], np.float32)
    both = np.concatenate([u, v])
    assert combined(both, PairMode.COMPARE).tolist() == [[3, 4, 4, -4], [0, 4, 0.25, -3]]
    assert combined(both, PairMode.FULL).tolist() == [[1, -2, 4, 2, 3, 4, 4, -4], [0.5, 3, 0.5, -1, 0, 4, 0.25, -3]]
    assert combined(both, PairMode.JOINT).tolist() == both.tolist()
    assert [widened(2, mode) for mode in (None, *PairMode)] == [2, 2, 4, 8]
