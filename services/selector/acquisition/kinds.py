"""What an acquisition function needs, said by its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OfProbabilities:
    """Scores each row by its class probabilities alone, so that scores can be kept until the head changes.

    Attributes:
        name: the name on the wire, without its prefix.
        scores: from probabilities (N, C), any float dtype, finite, rows summing to 1, to scores (N,).
    """

    name: str
    scores: Callable[[Floats], Scores]


@dataclass(frozen=True, slots=True)
class OfGenerator:
    """Scores each row by a draw, so that scores follow from the seed; needs no head.

    Attributes:
        name: the name on the wire, without its prefix.
        scores: from N and a generator to scores (N,). The first n of N scores are those of n rows with the same seed,
            so that a growing pool changes nothing for the rows that were there.
    """

    name: str
    scores: Callable[[int, np.random.Generator], Scores]


AcquisitionFunction = OfProbabilities | OfGenerator
