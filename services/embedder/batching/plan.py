"""Which sequences run together: pure functions of their lengths."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def window(lengths: Iterable[int], limit: int) -> int:
    """Returns how many of the oldest sequences are planned together.

    As many from the front as have at most `limit` tokens together, and at least one of any: what waits behind is
    planned once these have run, which bounds the wait of each.

    Args:
        lengths: Tokens of the waiting sequences, oldest first; read no further than the window.
        limit: Tokens of a window.
    """
    total = count = 0
    for length in lengths:
        total += length
        if total > limit and count:
            break
        count += 1
    return count


def cut(lengths: npt.ArrayLike, budget: int) -> list[npt.NDArray[np.intp]]:
    """Cuts sequences, sorted by length, into batches under a token budget.

    Sorting puts equal lengths together, so that almost nothing is padding: a batch's longest and shortest sequence
    differ by the little that lengths differ over one budget.

    Args:
        lengths: Tokens of each sequence, shape (N,), at least 1.
        budget: The most tokens of a batch, padding included: rows x longest. A sequence longer than that is a batch
            of its own.

    Returns:
        Positions into `lengths`, longest batch first; each position is in exactly one batch. Within a batch the longest
        is first, and of equal lengths the earlier one.
    """
    measured = np.asarray(lengths, dtype=np.intp)
    order = np.argsort(-measured, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        rows = max(1, budget // int(measured[order[start]]))
        batches.append(order[start : start + rows])
        start += rows
    return batches
