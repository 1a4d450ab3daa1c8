"""Which items make a batch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.batches import batches


@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=300),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 99),
)
def test_each_epoch_has_each_item_once_in_full_batches(
    lengths: list[int], batch_size: int, seed: int, epoch: int
) -> None:
    made = batches(np.array(lengths), batch_size=batch_size, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(made).tolist()) == list(range(len(lengths)))
    assert len(made) == -(-len(lengths) // batch_size)
    assert all(len(batch) <= batch_size for batch in made)
    assert sum(len(batch) < batch_size for batch in made) <= 1


def test_batches_depend_on_seed_and_epoch_and_on_nothing_else() -> None:
    lengths = np.arange(1, 101)

    def made(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in batches(lengths, batch_size=8, seed=seed, epoch=epoch)]

    assert made(3, 1) == made(3, 1)
    assert made(3, 1) != made(3, 2)
    assert made(3, 1) != made(4, 1)


def test_texts_of_similar_length_share_a_batch() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(5, 60, 4096)
    made = batches(lengths, batch_size=16, seed=0, epoch=0)
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in made)
    shuffled = random.permutation(lengths).reshape(-1, 16)
    assert padded < 1.2 * lengths.sum() < int(shuffled.max(axis=1).sum()) * 16


def test_neither_short_nor_long_texts_come_first() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 4096)
    means = np.array([lengths[batch].mean() for batch in batches(lengths, batch_size=16, seed=0, epoch=0)])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2
