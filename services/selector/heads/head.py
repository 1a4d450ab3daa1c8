"""What the selector asks of a head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Projection:
    """A linear map of embeddings: x ↦ x W + b, what a whole pool passes through.

    Attributes:
        weights: float32, shape (D, J).
        offsets: float32, shape (J,).
    """

    weights: Float32
    offsets: Float32


class Head(Protocol):
    """A predictor that was fit. Immutable.

    Scoring a pool is `probabilities(x @ projection.weights + projection.offsets)`, the product in row blocks and the
    rest on J numbers a row, so that no head needs the float32 form of a pool.
    """

    @property
    def kind(self) -> str:
        """The name it is stored under."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels it has seen, in the order of its probability columns; at least two."""

    @property
    def projection(self) -> Projection:
        """The linear map that comes first."""

    def probabilities(self, outputs: Float32) -> Float64:
        """Returns probabilities (n, C) of `labels` from what the projection gave, (n, J).

        In float64: rounded to float32 they would not sum to 1, and the entropies of two rows near 1/2, which differ by
        the square of their distance from it, would rank by the rounding.
        """
