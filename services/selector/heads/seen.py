"""The classes that labels hold, of those a project has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def seen_classes(
    classes: npt.NDArray[np.integer[Any]], labels: Sequence[str]
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Returns the labels that occur, in the order of `labels`, and the classes (M,) as numbers into them.

    Args:
        classes: shape (M,), numbers into `labels`.
        labels: the project's labels.

    Raises:
        ValueError: fewer than two different ones occur.
    """
    seen, targets = np.unique(classes, return_inverse=True)
    if len(seen) < 2:
        raise ValueError(f"classes must hold at least two different numbers, got {len(seen)}")
    return tuple(labels[number] for number in seen), targets
