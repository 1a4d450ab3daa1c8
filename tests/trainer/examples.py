"""Small texts that a tiny model can learn."""

from __future__ import annotations

import numpy as np

GOOD, BAD = ("good", "fine"), ("bad", "dull")
LABELS = ("negative", "positive")


def sentences(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Returns (text, label), the labels by turns; the words decide the label."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        positive = number % 2 == 1
        filler = " ".join(random.choice(["the", "a", "film", "plot", "is", "was"], size=int(random.integers(2, 12))))
        made.append((f"{filler} {random.choice(GOOD if positive else BAD)} {number}", LABELS[positive]))
    return made
