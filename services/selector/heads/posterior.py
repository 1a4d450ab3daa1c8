"""Samples of what a head might be, given its labels."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from services.selector.heads.head import Float32, Projection
from services.selector.heads.softmax import sampled_probabilities


class PosteriorKind(enum.StrEnum):
    """How samples of a LOGISTIC head are drawn."""

    # Dropout on the head's inputs, one mask a sample.
    DROPOUT = "DROPOUT"
    # The Gaussian around the weights whose covariance is the inverse of the loss's second derivative.
    LAPLACE = "LAPLACE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How a head's posterior is sampled.

    Attributes:
        samples: S, at least 1.
        kind: how samples of a LOGISTIC head are drawn.
        dropout: rate of the dropout on a LOGISTIC head's inputs, more than 0 and less than 1.
    """

    samples: int
    kind: PosteriorKind
    dropout: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """What a head was fit on: what its curvature is made of.

    Attributes:
        embeddings: of the labeled items, float32, shape (M, D).
        classes: numbers into the head's labels, shape (M,).
        penalty: on each squared weight, half of it in the loss: mean squared norm / C.
        balanced: whether labels count inversely to their class's frequency.
    """

    embeddings: Float32
    classes: npt.NDArray[np.integer[Any]]
    penalty: float
    balanced: bool


class Posterior(Protocol):
    """S heads drawn from a posterior, each of them one head for the whole pool. Immutable.

    One draw is shared by all rows: what two rows' probabilities have in common over the samples is what BatchBALD
    measures, and a mask of each row's own would hide it.
    """

    @property
    def samples(self) -> int:
        """S."""

    @property
    def projection(self) -> Projection:
        """The linear map that comes first, (D, J)."""

    def probabilities(self, outputs: Float32) -> Float32:
        """Returns samples of probabilities (S, n, C) from what the projection gave, (n, J), of any memory layout."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearPosterior:
    """Samples of a linear head.

    Attributes:
        samples: S.
        classes: C.
        projection: of (D, S · J), sample after sample, J = 1 for the log odds of two classes, else C.
    """

    samples: int
    classes: int
    projection: Projection

    def probabilities(self, outputs: Float32) -> Float32:
        """Returns samples of probabilities (S, n, C), a view of (S, C, n), from logits (n, S · J)."""
        return sampled_probabilities(outputs.T.reshape(self.samples, -1, len(outputs)), self.classes)


def linear_posterior(weights: Float32, offsets: Float32, classes: int) -> LinearPosterior:
    """Returns the posterior of samples of weights (S, J, D) and offsets (S, J)."""
    samples, outputs, dimension = weights.shape
    columns = np.ascontiguousarray(weights.reshape(samples * outputs, dimension).T)
    return LinearPosterior(samples, classes, Projection(columns, offsets.reshape(-1)))
