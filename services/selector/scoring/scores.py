"""Scores of every row of a pool, kept until the head changes and extended when the pool grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from services.selector.acquisition import OfProbabilities
from services.selector.heads import Head
from services.selector.scoring.products import CHUNK_ROWS, Products
from services.selector.stores import PoolSnapshot

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_Scalar = TypeVar("_Scalar", bound=np.generic)

# Probabilities of more classes than this take more memory than they save time: they are computed again.
KEPT_CLASSES = 8


@dataclass(slots=True)
class _Kept:
    """What was computed with one head over one incarnation of a pool."""

    head_version: int
    incarnation: str
    probs: Float64
    scores: dict[str, Float64] = field(default_factory=dict)


class PoolScores:
    """Keeps probabilities and scores of one project. One thread at a time.

    Args:
        products: what multiplies.
    """

    def __init__(self, products: Products) -> None:
        self._products = products
        self._kept: _Kept | None = None

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        kept = self._kept
        return 0 if kept is None else kept.probs.nbytes + sum(scores.nbytes for scores in kept.scores.values())

    def scores(self, snapshot: PoolSnapshot, head: Head, head_version: int, function: OfProbabilities) -> Float64:
        """Returns the scores of all rows, (N,), read-only.

        Costs one pass over the pool after a new head, over what is new after the pool grew, else nothing. A function
        that was not asked before costs its own arithmetic where probabilities are kept.
        """
        kept = self._kept
        if kept is None or (kept.head_version, kept.incarnation) != (head_version, snapshot.incarnation):
            kept = self._kept = _Kept(head_version, snapshot.incarnation, np.empty((0, len(head.labels))))
        rows = len(snapshot)
        found = kept.scores.get(function.name, np.empty(0))
        if len(found) >= rows:
            return found[:rows]
        scores = _extended(found, rows)
        if len(head.labels) <= KEPT_CLASSES:
            if len(kept.probs) < rows:
                kept.probs = self._probabilities(kept.probs, snapshot, head)
            self._from_probabilities(kept.probs, scores, len(found), function)
        else:
            self._from_embeddings(snapshot, head, scores, len(found), function)
        scores.flags.writeable = False
        kept.scores[function.name] = scores
        return scores[:rows]

    def _probabilities(self, known: Float64, snapshot: PoolSnapshot, head: Head) -> Float64:
        probs = _extended(known, len(snapshot))

        def keep(first: int, outputs: Float32) -> None:
            probs[first : first + len(outputs)] = head.probabilities(outputs)

        self._products.each_span(snapshot.blocks(), _chunk_start(len(known)), head.projection, keep)
        return probs

    def _from_probabilities(self, probs: Float64, scores: Float64, known: int, function: OfProbabilities) -> None:
        def score(start: int, stop: int) -> None:
            scores[known + start : known + stop] = function.scores(probs[known + start : known + stop])

        self._products.each_part(len(scores) - known, score)

    def _from_embeddings(
        self, snapshot: PoolSnapshot, head: Head, scores: Float64, known: int, function: OfProbabilities
    ) -> None:
        def score(first: int, outputs: Float32) -> None:
            scores[first : first + len(outputs)] = function.scores(head.probabilities(outputs))

        self._products.each_span(snapshot.blocks(), _chunk_start(known), head.projection, score)


def _chunk_start(rows: int) -> int:
    return rows - rows % CHUNK_ROWS


def _extended(array: npt.NDArray[_Scalar], rows: int) -> npt.NDArray[_Scalar]:
    longer = np.empty((rows, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
