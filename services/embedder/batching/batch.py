"""Sequences on their way through an engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.embedder.batching import metrics
from services.embedder.batching.submission import Submission
from services.embedder.encoding.engine import Engine, Tokens

Key = tuple[bytes, bytes]


def _key(tokens: Tokens) -> Key:
    return tokens.ids.tobytes(), b"" if tokens.types is None else tokens.types.tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """One row of a submission that waits for its vector."""

    engine: Engine
    tokens: Tokens
    submission: Submission
    row: int

    @property
    def key(self) -> Key:
        """Equal for equal sequences."""
        return _key(self.tokens)


@dataclass(slots=True, eq=False)
class Unit:
    """Equal sequences, embedded once for all that wait for them."""

    tokens: Tokens
    waiting: list[Waiting]

    @property
    def key(self) -> Key:
        """Equal for equal sequences."""
        return _key(self.tokens)

    def prune(self, now: float) -> bool:
        """Drops what nobody waits for; returns whether somebody waits for the rest."""
        kept = []
        for one in self.waiting:
            why = one.submission.dropped(now)
            if why:
                metrics.DROPPED.labels(why).inc()
            else:
                kept.append(one)
        self.waiting = kept
        return bool(kept)

    def deliver(self, vector: npt.NDArray[np.float32]) -> None:
        """Gives all that wait their vector, shape (H,)."""
        for one in self.waiting:
            one.submission.deliver(one.row, vector)

    def fail(self, why: str) -> None:
        """Tells all that wait why they get no vector."""
        for one in self.waiting:
            one.submission.fail(one.row, why)

    def refuse(self, error: BaseException) -> None:
        """Answers the callers of all that wait with an error."""
        for one in self.waiting:
            one.submission.refuse(error)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Units that run together, longest first."""

    engine: Engine
    units: list[Unit]
