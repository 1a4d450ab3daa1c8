"""RANDOM: every unlabeled item is as likely as every other."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.kinds import PickFunction, Picks
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.picking import best
from services.selector.acquisition.view import View


def random(view: View, k: int, parameters: Parameters, generator: np.random.Generator) -> Picks:  # noqa: ARG001
    """Picks the free rows of the highest draws, uniform in [0, 1).

    The first n of N draws are those of n rows with the same seed, so that a growing pool changes nothing for the rows
    that were there.
    """
    scores = generator.random(len(view.free))
    rows = best(scores, view.free, k)
    return Picks(rows, scores[rows])


RANDOM = PickFunction(name="RANDOM", pick=random, extends=True)
