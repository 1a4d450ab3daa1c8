"""A head whose posterior samples are whatever was drawn: a pool's embeddings are the logarithms of its own samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.selector.heads import Ability, Evidence, Projection, Sampling

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_SMALLEST = np.float32(-16)


def logarithms(samples: int, rows: int, classes: int, seed: int) -> npt.NDArray[np.float16]:
    """Returns the logarithms of independent draws of the uniform Dirichlet distribution, (N, S·C), of unit sum each."""
    generator = np.random.default_rng(seed)
    found = np.empty((rows, samples, classes), np.float16)
    for row in range(0, rows, 4_096):
        part = found[row : row + 4_096]
        draws = generator.standard_exponential((len(part), samples, classes), np.float32)
        part[:] = np.maximum(np.log(draws / draws.sum(axis=2, keepdims=True)), _SMALLEST)
    return found.reshape(rows, samples * classes)


@dataclass(frozen=True, slots=True)
class DrawnPosterior:
    """Implements `services.selector.heads.Posterior`."""

    samples: int
    classes: int

    @property
    def projection(self) -> Projection:
        """All of an embedding, as it is."""
        width = self.samples * self.classes
        return Projection(np.eye(width, dtype=np.float32), np.zeros(width, np.float32))

    def probabilities(self, outputs: Float32) -> Float32:
        """Returns (S, n, C)."""
        logits_scn = outputs.T.reshape(self.samples, self.classes, len(outputs))
        probs_scn = np.exp(logits_scn)
        probs_scn /= probs_scn.sum(axis=1, keepdims=True)
        return probs_scn.transpose(0, 2, 1)


@dataclass(frozen=True, slots=True)
class DrawnHead:
    """Implements `services.selector.heads.Head` over embeddings that `logarithms` made."""

    samples: int
    classes: int

    @property
    def kind(self) -> str:
        """The name in the table."""
        return "DIRICHLET"

    @property
    def abilities(self) -> Ability:
        """What it can tell."""
        return Ability.PROBABILITIES | Ability.SAMPLES

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels."""
        return tuple(f"class {number}" for number in range(self.classes))

    @property
    def projection(self) -> Projection:
        """All of an embedding, as it is."""
        return self._posterior.projection

    def probabilities(self, outputs: Float32) -> Float64:
        """Returns the mean over the samples, (n, C)."""
        probs: Float64 = self._posterior.probabilities(outputs).mean(axis=0, dtype=np.float64)
        return probs

    def decisions(self, outputs: Float32) -> Float64:
        """Returns logarithms of the probabilities, (n, C)."""
        return np.log(self.probabilities(outputs))

    def penultimate(self, outputs: Float32) -> Float32 | None:  # noqa: ARG002 - there is no layer before the last
        """Returns None."""
        return None

    def posterior(self, sampling: Sampling, evidence: Callable[[], Evidence]) -> DrawnPosterior:  # noqa: ARG002
        """Returns the samples that were drawn."""
        return self._posterior

    @property
    def _posterior(self) -> DrawnPosterior:
        return DrawnPosterior(self.samples, self.classes)
