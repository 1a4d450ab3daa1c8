"""MARGIN: the items for which the head hesitates between two classes."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.checked import checked
from services.selector.acquisition.kinds import Floats, RowScores, ScoreFunction, Scores
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import View
from services.selector.heads import Ability


def margin(values: Floats) -> Scores:
    """Returns the negative difference of the two largest values of each row.

    Over probabilities -(p₁ - p₂): Scheffer, Decomain & Wrobel 2001, active hidden Markov models for information
    extraction. Over the decisions of a linear SVM, the distances to its hyperplanes: Tong & Koller 2001, support
    vector machine active learning.

    Args:
        values: (N, C), C at least 2, finite.

    Returns:
        (N,) float64, at most 0; at least -1 for probabilities.

    Raises:
        NotFinite: a row holds NaN or infinity.
    """
    values_nc = checked(values)
    if values_nc.shape[1] == 2:
        gap_n: Scores = np.abs(values_nc[:, 0] - values_nc[:, 1])
    else:
        top_n2 = np.partition(values_nc, -2, axis=1)[:, -2:]
        gap_n = top_n2[:, 1] - top_n2[:, 0]
    return -gap_n + 0.0


def _prepare(view: View, parameters: Parameters) -> RowScores:  # noqa: ARG001 - it has none
    head = view.head
    values = head.probabilities if Ability.PROBABILITIES in head.abilities else head.decisions
    return RowScores(head.projection, lambda first, outputs: margin(values(outputs)))  # noqa: ARG005


MARGIN = ScoreFunction(name="MARGIN", needs=Ability.DECISIONS, prepare=_prepare)
