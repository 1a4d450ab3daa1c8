"""POWER_BALD: items drawn at random, the likelier the higher their BALD score."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.bald import BALD
from services.selector.acquisition.kinds import PickFunction, Picks, Scores
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.picking import best
from services.selector.acquisition.view import View

# The logarithm of the smallest positive float64, rounded down.
_LEAST_LOG = -745.0
# Draws lie between -4 and 37: with this on one side, the order is decided before they are added.
_BEYOND_DRAWS = 100.0


def keys(scores: Scores, beta: float, generator: np.random.Generator) -> Scores:
    """Returns numbers whose k highest are k draws without replacement with probabilities ∝ score^β.

    Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron & Gal 2021, stochastic batch acquisition for deep active
    learning, PowerBALD: β log score + Gumbel noise (Gumbel top-k, Kool, van Hoof & Welling 2019).

    A score of 0 comes after every other one, in uniform order. Where β is 0, all are equally likely, zeros too.

    Args:
        scores: (N,), at least 0, finite.
        beta: β, at least 0.
        generator: one draw a row: the draws of the first n of N rows are those of n rows with the same seed, so that
            a growing pool changes nothing for the rows that were there.

    Returns:
        (N,) float64, finite.
    """
    drawn: Scores = generator.gumbel(size=len(scores))
    if beta == 0:
        return drawn
    least = beta * _LEAST_LOG
    logs: Scores = np.full(len(scores), least - _BEYOND_DRAWS)
    positive = scores > 0
    logs[positive] = beta * np.log(scores[positive])
    logs += drawn
    return logs


def power_bald(view: View, k: int, parameters: Parameters, generator: np.random.Generator) -> Picks:
    """Picks k free rows without replacement, with probabilities ∝ BALD^β.

    Its first pick is rarely BALD's, and its k are not k near copies of it: at BALD's cost, often as good as BATCH_BALD.

    Returns:
        Picks in the order of the draws, with their BALD scores, which therefore need not descend.
    """
    scores = view.scores(BALD, parameters)
    rows = best(keys(scores, parameters.beta, generator), view.free, k)
    return Picks(rows, scores[rows])


POWER_BALD = PickFunction(name="POWER_BALD", pick=power_bald, needs=BALD.needs, uses=BALD.uses | {"beta"}, extends=True)
