"""MARGIN: the items for which the head hesitates between two classes."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.checked import checked
from services.selector.acquisition.kinds import Floats, OfProbabilities, Scores


def margin(probs: Floats) -> Scores:
    """Returns -(p₁ - p₂), the negative difference of the two largest probabilities.

    Scheffer, Decomain & Wrobel 2001, active hidden Markov models for information extraction.

    Args:
        probs: (N, C), C at least 2, finite, rows summing to 1.

    Returns:
        (N,) float64, -1 to 0.

    Raises:
        NotFinite: a row holds NaN or infinity.
    """
    p_nc = checked(probs)
    if p_nc.shape[1] == 2:
        gap_n: Scores = np.abs(p_nc[:, 0] - p_nc[:, 1])
    else:
        top_n2 = np.partition(p_nc, -2, axis=1)[:, -2:]
        gap_n = top_n2[:, 1] - top_n2[:, 0]
    return -gap_n + 0.0


MARGIN = OfProbabilities("MARGIN", margin)
