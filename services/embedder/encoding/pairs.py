"""From the two texts' own embeddings to one embedding of the pair."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.pools import PairMode

Vectors = npt.NDArray[np.float32]


def compare(u: Vectors, v: Vectors) -> Vectors:
    """Returns [|u - v|; u * v], shape (n, 2 H), for u and v of shape (n, H). Symmetric in the two texts."""
    return np.concatenate([np.abs(u - v), u * v], axis=1)


def full(u: Vectors, v: Vectors) -> Vectors:
    """Returns [u; v; |u - v|; u * v], shape (n, 4 H), for u and v of shape (n, H) (InferSent, Conneau et al. 2017)."""
    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1)


def widened(dimension: int, mode: PairMode | None) -> int:
    """Returns the length of an item's embedding where a sequence's has length H = `dimension`."""
    return dimension * {PairMode.COMPARE: 2, PairMode.FULL: 4}.get(mode, 1) if mode else dimension


def combined(vectors: Vectors, mode: PairMode | None) -> Vectors:
    """Returns the embeddings of items from those of their sequences.

    Args:
        vectors: shape (n, H) for single texts and JOINT; (2 n, H) for COMPARE and FULL, the first texts first.
        mode: How a pair is embedded; None for single texts.

    Returns:
        Shape (n, widened(H, mode)).
    """
    if mode is None or mode is PairMode.JOINT:
        return vectors
    half = len(vectors) // 2
    return (compare if mode is PairMode.COMPARE else full)(vectors[:half], vectors[half:])
