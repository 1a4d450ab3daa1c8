"""Labeled embeddings that heads are tested on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[Any]


def overlapping(rows: int, dimension: int, classes: int, seed: int = 0, scale: float = 1.0) -> tuple[Matrix, Matrix]:
    """Embeddings of overlapping classes with a mean far from zero, as a transformer's are, and class numbers."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(0, classes, rows)
    numbers[:classes] = np.arange(classes)
    centres = generator.standard_normal((classes, dimension)) * 0.4 + 2.0 * generator.standard_normal(dimension)
    embeddings = (centres[numbers] + generator.standard_normal((rows, dimension))) * scale
    return embeddings.astype(np.float16).astype(np.float32), numbers


def with_ones(embeddings: Matrix) -> npt.NDArray[np.float32]:
    return np.concatenate([embeddings, np.ones((len(embeddings), 1))], axis=1).astype(np.float32)


def mean_squared_norm(embeddings: Matrix) -> float:
    return float(np.mean(np.sum(embeddings.astype(np.float64) ** 2, axis=1)))


def names(classes: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(classes))
