"""MAX_ENTROPY: the items whose class the head knows least."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.checked import checked
from services.selector.acquisition.kinds import Floats, Scores, of_probabilities

# Smaller than any positive float32, and its logarithm is finite: a probability of exactly 0 adds 0 · log(tiny) = 0.
_TINY = 1e-300


def max_entropy(probs: Floats) -> Scores:
    """Returns H(p) = -Σ p log p in nats.

    Shannon 1948; as an acquisition function Lewis & Gale 1994, a sequential algorithm for training text classifiers.

    Args:
        probs: (N, C), finite, rows summing to 1; exact zeros are legal.

    Returns:
        (N,) float64, 0 to log C.

    Raises:
        NotFinite: a row holds NaN or infinity.
    """
    p_nc = checked(probs)
    log_p_nc = np.log(np.maximum(p_nc, _TINY))
    entropy_n: Scores = -np.einsum("nc,nc->n", p_nc, log_p_nc)
    # Not -0.0 for a row without doubt.
    return entropy_n + 0.0


MAX_ENTROPY = of_probabilities("MAX_ENTROPY", max_entropy)
