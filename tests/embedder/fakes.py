"""An engine of thirty lines: its vectors follow from the tokens, and it does as a test tells it."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from services.embedder.batching.batch import Waiting
from services.embedder.batching.submission import Submission
from services.embedder.encoding.engine import Padded, Tokens

DIMENSION = 3
POISON, NAN, DEADLY, SLOW = 901, 902, 903, 904


class FakeEngine:
    """Embeds a sequence as (length, sum of ids, first id); special ids fail, give NaN, kill the thread, or wait."""

    def __init__(self, budget: int = 32) -> None:
        self.name = "fake"
        self.dimension = DIMENSION
        self.pad_id = 0
        self.budget = budget
        self.batches: list[list[list[int]]] = []
        self.entered = threading.Event()
        self.release = threading.Event()

    def embed(self, batch: Padded) -> npt.NDArray[np.float32]:
        rows = [row[mask > 0].tolist() for row, mask in zip(batch.ids, batch.mask, strict=True)]
        self.batches.append(rows)
        if (batch.ids == SLOW).any():
            self.entered.set()
            assert self.release.wait(10)
        if (batch.ids == DEADLY).any():
            raise SystemExit
        if (batch.ids == POISON).any():
            raise RuntimeError("poison")
        vectors = np.array([[len(row), sum(row), row[0]] for row in rows], np.float32)
        vectors[(batch.ids == NAN).any(axis=1)] = np.nan
        return vectors


def tokens(*ids: int) -> Tokens:
    return Tokens(np.array(ids, np.int32))


def submit(
    engine: FakeEngine, *sequences: tuple[int, ...], deadline: float | None = None
) -> tuple[Submission, list[Waiting]]:
    """A submission of sequences, and what is put into a queue for it."""
    submission = Submission(len(sequences), DIMENSION, deadline)
    return submission, [Waiting(engine, tokens(*ids), submission, row) for row, ids in enumerate(sequences)]
