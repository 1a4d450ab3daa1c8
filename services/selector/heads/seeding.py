"""The random numbers of a head's samples: the same for the same head, on every replica and after every restart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def generator_of(arrays: Sequence[npt.NDArray[Any]], *facts: str | float | tuple[str, ...]) -> np.random.Generator:
    """Returns a generator seeded by a digest of a head and of how it is sampled.

    Args:
        arrays: the head's weights.
        facts: what else tells two samplings apart, such as labels, kind and rate.
    """
    digest = hashlib.sha256(json.dumps([*facts, [[str(array.dtype), array.shape] for array in arrays]]).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return np.random.default_rng(int.from_bytes(digest.digest(), "little"))


def dropout_masks(samples: int, inputs: int, rate: float, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """Returns masks (S, inputs): 0 with probability `rate`, else 1 / (1 - rate), so that the mean is 1.

    Dropout of a layer's inputs x is (x ∘ m) W = x (m ∘ W): a mask is as well applied to the weights, once for a pool.
    """
    kept = generator.random((samples, inputs)) >= rate
    return kept.astype(np.float32) / np.float32(1.0 - rate)
