"""VARIATION_RATIO: the items whose likeliest class is least likely."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.checked import checked
from services.selector.acquisition.kinds import Floats, Scores, of_probabilities


def variation_ratio(probs: Floats) -> Scores:
    """Returns 1 - max p (Freeman 1965, elementary applied statistics), also called least confidence.

    Args:
        probs: (N, C), finite, rows summing to 1.

    Returns:
        (N,) float64, 0 to 1 - 1 / C.

    Raises:
        NotFinite: a row holds NaN or infinity.
    """
    p_nc = checked(probs)
    top_n: Scores = np.maximum.reduce(p_nc, axis=1)
    return 1.0 - top_n


VARIATION_RATIO = of_probabilities("VARIATION_RATIO", variation_ratio)
