"""Which items make the batches of an epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Batches of similar lengths are cut from a shuffled window of so many batches: with 16 most of the padding is gone
# already, and a window small beside the data keeps batches random.
WINDOW = 16


def batches(lengths: NDArray[np.int64], *, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Returns one epoch's batches, row numbers into `lengths` (N,), each row in exactly one batch.

    Rows are shuffled, sorted by length inside windows of `WINDOW` batches, cut, and the batches shuffled, so that
    padding is small and neither short nor long texts come first. A pure function of its arguments: a job that goes on
    after its worker died meets the same batches in the same order. At most one batch is smaller than `batch_size`.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    cut: list[NDArray[np.int64]] = []
    window = WINDOW * batch_size
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        cut.extend(rows[first : first + batch_size] for first in range(0, len(rows), batch_size))
    return [cut[place] for place in random.permutation(len(cut))]
