"""What runs a backbone's forward pass, as the batches see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """One sequence.

    Attributes:
        ids: Token ids, int32, shape (T,), T at least 1.
        types: Which text of a pair each token is of, int32, shape (T,); None where the backbone does not ask.
    """

    ids: npt.NDArray[np.int32]
    types: npt.NDArray[np.int32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Padded:
    """Sequences side by side, padded on the right.

    Attributes:
        ids: Token ids, int64, shape (B, T).
        mask: 1 for a token and 0 for padding, int64, shape (B, T).
        types: As in `Tokens`, int64, shape (B, T), or None.
    """

    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]
    types: npt.NDArray[np.int64] | None


class Engine(Protocol):
    """Embeds padded batches. Safe to call from `workers` threads at once.

    Attributes:
        name: What it is, for logs and tables, such as "openvino bfloat16".
        dimension: H, the length of a vector.
        pad_id: The id that stands for padding.
        budget: Tokens of a batch, padding included, at which it is fastest.
    """

    name: str
    dimension: int
    pad_id: int
    budget: int

    def embed(self, batch: Padded) -> npt.NDArray[np.float32]:
        """Returns the pooled vectors, float32, shape (B, H)."""


def pad(sequences: Sequence[Tokens], pad_id: int) -> Padded:
    """Puts sequences side by side, padded on the right to the longest."""
    lengths = np.fromiter((len(one.ids) for one in sequences), np.int64, len(sequences))
    real = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(real.shape, pad_id, np.int64)
    ids[real] = np.concatenate([one.ids for one in sequences])
    types = None
    if sequences[0].types is not None:
        types = np.zeros(real.shape, np.int64)
        types[real] = np.concatenate([one.types for one in sequences if one.types is not None])
    return Padded(ids, real.astype(np.int64), types)
