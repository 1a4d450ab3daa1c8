"""An (N, D) matrix in blocks, as acquisition functions read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.selector.heads import Projection
from services.selector.scoring.products import Products, chunk_start

Float32 = npt.NDArray[np.float32]
Block = npt.NDArray[np.floating[Any]]


class BlockEmbeddings:
    """Embeddings in blocks of float16 or float32.

    Args:
        products: what multiplies.
        blocks: C-contiguous, shape (n, D), all but the last of equal length, a multiple of `SPAN_ROWS`.
        dimension: D.
        gather: returns rows (n, D).
        norms: returns ‖x‖² of all rows, kept.
    """

    def __init__(
        self,
        products: Products,
        blocks: Sequence[Block],
        dimension: int,
        gather: Callable[[npt.ArrayLike], Block],
        norms: Callable[[BlockEmbeddings], Float32],
    ) -> None:
        self._products = products
        self._blocks = blocks
        self._dimension = dimension
        self._gather = gather
        self._norms = norms
        self._rows = sum(len(block) for block in blocks)

    @property
    def dimension(self) -> int:
        """D."""
        return self._dimension

    def __len__(self) -> int:
        return self._rows

    def gather(self, rows: npt.ArrayLike) -> Float32:
        """Returns rows (n, D) in the order asked, a copy."""
        return self._gather(rows).astype(np.float32)

    def each(self, projection: Projection, consume: Callable[[int, Float32], None], start: int = 0) -> None:
        """Multiplies all rows from `start` on; see `services.selector.acquisition.Embeddings`."""
        self._products.each_span(self._blocks, chunk_start(start), projection, consume)

    def squared_norms(self) -> Float32:
        """Returns ‖x‖², (N,), read-only; kept."""
        return self._norms(self)

    def computed_norms(self, known: Float32 | None) -> Float32:
        """Returns ‖x‖², (N,): those of the first rows as they are known, of the others in one pass."""
        if known is not None and len(known) == len(self):
            return known
        found = np.empty(len(self), np.float32)
        start = 0 if known is None else len(known)
        if known is not None:
            found[:start] = known
        self._products.norms(self._blocks, chunk_start(start), found)
        found.flags.writeable = False
        return found
