"""The check every function of probabilities begins with."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.kinds import Floats, Scores
from services.selector.errors import NotFinite


def checked(probs: Floats) -> Scores:
    """Returns probabilities (N, C) as float64, the array itself where it is.

    In float32 the entropies of two items near 1/2 would tie although their probabilities differ.

    Raises:
        NotFinite: a row holds NaN or infinity; the error names the first.
    """
    if not np.isfinite(probs).all():
        raise NotFinite("probabilities", int(np.argmin(np.isfinite(probs).all(axis=1))))
    return probs.astype(np.float64, copy=False)
