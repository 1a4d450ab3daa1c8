"""What the selector asks of a head."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from services.selector.heads.posterior import Evidence, Posterior, Sampling

Floats = npt.NDArray[np.floating[Any]]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


class Ability(enum.Flag):
    """What a head can tell beside a ranking of classes. Acquisition functions name what they need."""

    NONE = 0
    # Numbers that rank classes: whatever any head has.
    DECISIONS = enum.auto()
    # Class probabilities.
    PROBABILITIES = enum.auto()
    # Samples of class probabilities from a posterior over the head's weights.
    SAMPLES = enum.auto()
    # Its outputs, one a class or the log odds of two, are linear in the embedding.
    LINEAR = enum.auto()
    # The second derivative of its loss by its weights, which are at the loss's minimum.
    CURVATURE = enum.auto()


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
    def abilities(self) -> Ability:
        """What it can tell."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels it has seen, in the order of its probability columns; at least two."""

    @property
    def projection(self) -> Projection:
        """The linear map that comes first."""

    def probabilities(self, outputs: Float32) -> Float64:
        """Returns probabilities (n, C) of `labels` from what the projection gave, (n, J), of any memory layout.

        In float64: rounded to float32 they would not sum to 1, and the entropies of two rows near 1/2, which differ by
        the square of their distance from it, would rank by the rounding. A head without Ability.PROBABILITIES gives
        rows that sum to 1 and rank classes as it does, and no more.
        """

    def decisions(self, outputs: Float32) -> Float64:
        """Returns one number a class, (n, C), from what the projection gave: the higher, the likelier the class.

        The logarithms of the probabilities up to a constant a row where there are probabilities, else distances.
        """

    def penultimate(self, outputs: Float32) -> Float32 | None:
        """Returns what the last layer sees, (n, H), from what the projection gave.

        None where that is the embedding itself: the head is linear.
        """

    def posterior(self, sampling: Sampling, evidence: Callable[[], Evidence]) -> Posterior:
        """Returns samples of the head, a function of the head, the sampling and the evidence alone.

        Only for a head with Ability.SAMPLES.

        Args:
            sampling: how many, and how.
            evidence: gathers what the head was fit on; called only where it is needed.
        """
