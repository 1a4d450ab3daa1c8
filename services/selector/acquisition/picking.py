"""The best rows by score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.selector.acquisition.kinds import Scores


def best(scores: Scores, free: npt.NDArray[np.bool_], k: int) -> npt.NDArray[np.int64]:
    """Returns the k free rows with the highest scores, highest first; ties go to the lower row.

    Args:
        scores: (N,), finite.
        free: (N,), False for rows that must not be picked.
        k: rows wanted, at least 0.

    Returns:
        Rows of `scores`, (min(k, free rows),). Costs one partition, and sorting what is returned.
    """
    rows = np.flatnonzero(free)
    if k <= 0 or not len(rows):
        return rows[:0]
    found = scores[rows]
    if k < len(rows):
        limit = np.partition(found, len(rows) - k)[len(rows) - k]
        above = np.flatnonzero(found > limit)
        # flatnonzero is in ascending order of row, so the first of equals are the lower rows.
        level = np.flatnonzero(found == limit)[: k - len(above)]
        kept = np.concatenate([above, level])
        rows, found = rows[kept], found[kept]
    order: npt.NDArray[np.int64] = rows[np.lexsort((rows, -found))]
    return order
