"""MAX_ENTROPY: the items whose class the head knows least."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.checked import checked
from services.selector.acquisition.kinds import Floats, OfProbabilities, Scores

# Smaller than any positive float32, and its logarithm is finite: a probability of exactly 0 adds 0 · log(tiny) = 0.
_TINY = 1e-300


def max_entropy(probs: Floats) -> Scores:
    """Returns H(p) = -Σ p log p in nats (Shannon 1948; as an acquisition function Lewis & Gale 1994, sequential
    sampling for training text classifiers).

    Args:
        probs: (N, C), finite, rows summing to 1; exact zeros are legal.

    Returns:
        (N,) float64, 0 to log C.

    Raises:
        NotFinite: a row holds NaN or infinity.
    """
    p_N_C = checked(probs)
    log_p_N_C = np.log(np.maximum(p_N_C, _TINY))
    return -np.einsum("nc,nc->n", p_N_C, log_p_N_C) + 0.0


MAX_ENTROPY = OfProbabilities("MAX_ENTROPY", max_entropy)
