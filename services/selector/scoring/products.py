"""Linear maps of float16 embeddings, in cache-sized chunks on a few threads."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from services.selector.heads import Projection

Block = npt.NDArray[np.floating[Any]]
Float32 = npt.NDArray[np.float32]

_Part = TypeVar("_Part")
_Result = TypeVar("_Result")

CHUNK_ROWS = 1_024
# What one thread takes at a time. A multiple of CHUNK_ROWS, and a divisor of the rows of a pool's blocks.
SPAN_ROWS = 8 * CHUNK_ROWS
# Outputs of a span of more than a chunk: 16 MB.
_SPAN_NUMBERS = 1 << 22

# Pools hand out read-only views and torch, which has no read-only tensors, warns of the first one in a process.
# Nothing here writes to one.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.from_numpy(np.broadcast_to(np.zeros(1, np.float16), 1))


class Products:
    """Multiplies the rows of a pool with small matrices.

    numpy converts float16 to float32 one number at a time and torch's own threads meet at a barrier after each
    operation. Here each thread converts a chunk that stays in its cache and multiplies it there: 102,671 x 768 float16
    with 2 columns takes 15 ms on two idle cores, numpy 430 ms.

    A chunk always has `CHUNK_ROWS` rows, so the result of a row depends on the row, its number and the matrix alone:
    not on how many rows the pool has, nor on which replica multiplies.

    Args:
        threads: how many, at least 1.
    """

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(1)
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="products")

    def close(self) -> None:
        """Ends the threads."""
        self._executor.shutdown(cancel_futures=True)

    def each_span(
        self,
        blocks: Sequence[Block],
        start: int,
        projection: Projection,
        consume: Callable[[int, Float32], None],
    ) -> None:
        """Multiplies the rows from `start` on and hands each span to `consume`, on the thread that multiplied it.

        Args:
            blocks: float16 or float32, C-contiguous, shape (n, D), all but the last of equal length, a multiple of
                `SPAN_ROWS`.
            start: the first row, a multiple of `CHUNK_ROWS`.
            projection: what the rows are multiplied with.
            consume: takes the span's first row and its outputs, float32, shape (rows, J), in column order. Spans come
                in any order.
        """
        weights = torch.from_numpy(np.ascontiguousarray(projection.weights.T))

        def one(span: tuple[int, Block]) -> None:
            first, rows = span
            outputs = _multiplied(rows, weights)
            outputs += projection.offsets
            consume(first, outputs)

        self._each(one, _spans(blocks, start, _span_rows(len(weights))))

    def project(self, rows: npt.NDArray[np.floating[Any]], projection: Projection) -> Float32:
        """Returns a few rows (n, D), float16 or float32, multiplied: float32, shape (n, J)."""
        weights = torch.from_numpy(np.ascontiguousarray(projection.weights.T))
        chunk_rows = min(CHUNK_ROWS, max(len(rows), 1))
        product: Float32 = _multiplied(np.ascontiguousarray(rows), weights, chunk_rows) + projection.offsets
        return product

    def norms(self, blocks: Sequence[Block], start: int, out: Float32) -> None:
        """Writes ‖x‖² of the rows from `start` on, a multiple of `CHUNK_ROWS`, to `out`, (N,)."""

        def one(span: tuple[int, Block]) -> None:
            first, rows = span
            out[first : first + len(rows)] = _squared_norms(rows)

        self._each(one, _spans(blocks, start))

    def _each(self, work: Callable[[_Part], _Result], parts: Iterator[_Part]) -> list[_Result]:
        return list(self._executor.map(work, parts))


def _span_rows(columns: int) -> int:
    """Returns how many rows a thread takes at a time: fewer where each has so many columns that memory counts."""
    rows = SPAN_ROWS
    while rows > CHUNK_ROWS and rows * columns > _SPAN_NUMBERS:
        rows //= 2
    return rows


def _spans(blocks: Sequence[Block], start: int, span_rows: int = SPAN_ROWS) -> Iterator[tuple[int, Block]]:
    first = 0
    for block in blocks:
        for at in range(0, len(block), span_rows):
            rows = block[at : at + span_rows]
            skipped = max(start - first - at, 0)
            if skipped < len(rows):
                yield first + at + skipped, rows[skipped:]
        first += len(block)


def _multiplied(rows: npt.NDArray[np.floating[Any]], weights: torch.Tensor, chunk_rows: int = CHUNK_ROWS) -> Float32:
    """Returns rows (n, D) times weights (J, D) transposed: float32, shape (n, J)."""
    source = torch.from_numpy(rows)
    chunk = torch.zeros(chunk_rows, weights.shape[1])
    product = torch.empty(weights.shape[0], chunk_rows)
    out = np.empty((weights.shape[0], len(rows)), np.float32)
    with torch.inference_mode():
        for at in range(0, len(rows), chunk_rows):
            part = source[at : at + chunk_rows]
            chunk[: len(part)].copy_(part)
            # (J, D) x (D, rows): several times faster than (rows, D) x (D, J) for the few columns of a head.
            torch.mm(weights, chunk.t(), out=product)
            out[:, at : at + chunk_rows] = product.numpy()[:, : len(part)]
    return out.T


def _squared_norms(rows: Block) -> Float32:
    source, out = torch.from_numpy(rows), np.empty(len(rows), np.float32)
    with torch.inference_mode():
        for at in range(0, len(rows), CHUNK_ROWS):
            part = source[at : at + CHUNK_ROWS].float()
            out[at : at + len(part)] = (part * part).sum(dim=1).numpy()
    return out


def chunk_start(row: int) -> int:
    """Returns the first row of the chunk that a row is in."""
    return row - row % CHUNK_ROWS
