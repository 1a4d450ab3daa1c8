"""RANDOM: every unlabeled item is as likely as every other."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.kinds import OfGenerator, Scores


def random(rows: int, generator: np.random.Generator) -> Scores:
    """Draws a score for each row.

    Args:
        rows: N.
        generator: where the draws come from.

    Returns:
        (N,) float64, uniform in [0, 1).
    """
    return generator.random(rows)


RANDOM = OfGenerator("RANDOM", random)
