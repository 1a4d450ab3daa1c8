"""The two kinds of acquisition function: those that score rows, and those that pick a set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import Rows, View
from services.selector.heads import Ability, Projection

Floats = npt.NDArray[np.floating[Any]]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RowScores:
    """Scores as one pass over the pool: a linear map of each embedding, and a function of what it gives.

    Attributes:
        projection: (D, J).
        scores: from the first row's number and outputs (n, J), in column order, to scores (n,), float64. Called on
            several threads at once.
    """

    projection: Projection
    scores: Callable[[int, npt.NDArray[np.float32]], Scores]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreFunction:
    """Scores each row by itself; the picks are the best. Scores are kept until the head changes.

    Attributes:
        name: the name on the wire, without its prefix.
        needs: what the head must be able to tell, at least Ability.DECISIONS: it sees nothing without one.
        prepare: what a pass over the pool needs.
        uses: the fields of `Parameters` that it reads.
        grows: whether a new row changes nothing for those that were there, so that scores are extended when the pool
            grows. Otherwise they are computed anew.
    """

    name: str
    needs: Ability
    prepare: Callable[[View, Parameters], RowScores]
    uses: frozenset[str] = frozenset()
    grows: bool = True


@dataclass(frozen=True, slots=True)
class Picks:
    """What was picked, most wanted first.

    Attributes:
        rows: (k,), different rows, all of them free.
        scores: (k,), float64, what each was worth when it was picked.
    """

    rows: Rows
    scores: Scores


@dataclass(frozen=True, kw_only=True, slots=True)
class PickFunction:
    """Picks a set of rows.

    Attributes:
        name: the name on the wire, without its prefix.
        pick: from a view, k and a generator to min(k, free rows) picks; k is at least 1, and so are the free rows.
            Random choices come from the generator alone.
        needs: what the head must be able to tell; NONE where no head is needed, so that it can serve as cold start.
        needs_labels: whether it cannot begin without a labeled item, although it needs no head.
        uses: the fields of `Parameters` that it reads.
        sub_pool: how many free rows, drawn at random, it looks at unless the caller says otherwise; 0 for all.
        extends: whether asking for a few more costs next to nothing and leaves the first picks as they are.
    """

    name: str
    pick: Callable[[View, int, Parameters, np.random.Generator], Picks]
    needs: Ability = Ability.NONE
    needs_labels: bool = False
    uses: frozenset[str] = frozenset()
    sub_pool: int = 0
    extends: bool = False


AcquisitionFunction = ScoreFunction | PickFunction


def of_probabilities(name: str, scores: Callable[[Floats], Scores]) -> ScoreFunction:
    """Returns a score function of class probabilities alone.

    Args:
        name: the name on the wire, without its prefix.
        scores: from probabilities (n, C), any float dtype, finite, rows summing to 1, to scores (n,).
    """

    def prepare(view: View, parameters: Parameters) -> RowScores:  # noqa: ARG001 - probabilities are all it needs
        head = view.head
        return RowScores(head.projection, lambda first, outputs: scores(head.probabilities(outputs)))  # noqa: ARG005

    return ScoreFunction(name=name, needs=Ability.PROBABILITIES, prepare=prepare)
