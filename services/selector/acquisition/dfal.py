"""DFAL: the items that the smallest change would move to another class."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.selector.acquisition.kinds import Floats, RowScores, ScoreFunction, Scores
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import Float64, View
from services.selector.errors import NotFinite
from services.selector.heads import Ability, Head

# The distance to a boundary that is nowhere, which has to be finite, and so in float32.
UNREACHABLE: Final = float(np.finfo(np.float32).max)


class Boundaries:
    """The boundaries between the classes of a linear head, of which the largest decision decides.

    Args:
        weights: W, (D, C).
        offsets: b, (C,).

    Costs C² D once.
    """

    def __init__(self, weights: Floats, offsets: Floats) -> None:
        w_cd, b_c = weights.T.astype(np.float64), offsets.astype(np.float64)
        length_cc = np.stack([np.sqrt(np.add.reduce((w_cd - w_d) ** 2, axis=1)) for w_d in w_cd])
        parallel_cc = length_cc == 0.0
        # Classes of the same weights have no boundary where their offsets differ, and share all of it otherwise.
        never_cc = parallel_cc & (b_c[:, None] != b_c)
        np.fill_diagonal(never_cc, val=True)
        self._never_cc = np.where(never_cc, UNREACHABLE, 0.0)
        self._per_gap_cc = np.where(parallel_cc, 0.0, 1.0 / np.where(parallel_cc, 1.0, length_cc))

    def distances(self, decisions: Floats) -> Scores:
        """Returns each row's distance to the nearest boundary of its class.

        Args:
            decisions: z = x W + b, up to a constant a row, (n, C), finite.

        Returns:
            (n,) float64, at least 0, in the units of x; `UNREACHABLE` where no x belongs to another class.

        Raises:
            NotFinite: a row holds NaN or infinity.

        Costs O(n C).
        """
        if not np.isfinite(decisions).all():
            raise NotFinite("decisions", int(np.argmin(np.isfinite(decisions).all(axis=1))))
        z_cn = decisions.T.astype(np.float64, copy=False)
        top_n = np.argmax(z_cn, axis=0)
        z_top_n = np.maximum.reduce(z_cn, axis=0)
        nearest_n = np.full(len(top_n), UNREACHABLE)
        for z_n, per_gap_c, never_c in zip(z_cn, self._per_gap_cc, self._never_cc, strict=True):
            distance_n = (z_top_n - z_n) * per_gap_c[top_n] + never_c[top_n]
            np.minimum(nearest_n, distance_n, out=nearest_n)
        return nearest_n


def dfal(decisions: Floats, weights: Floats, offsets: Floats) -> Scores:
    """Returns the negative distance to the boundary, -min_j (z_top - z_j) / ‖w_top - w_j‖.

    DeepFool active learning: Ducoffe & Precioso 2018, adversarial active learning for deep networks. What DeepFool
    searches step by step is exact in one step where decisions are linear. Of their method the choice of items is here;
    that the nearest point of another class is added to the training set under the item's label is not.

    Args:
        decisions: z = x W + b, up to a constant a row, (N, C), finite.
        weights: W, (D, C).
        offsets: b, (C,).

    Returns:
        (N,) float64, at most 0, in the units of x; at least -`UNREACHABLE`.

    Raises:
        NotFinite: a row holds NaN or infinity.
    """
    return -Boundaries(weights, offsets).distances(decisions) + 0.0


def decision_map(head: Head) -> tuple[Float64, Float64]:
    """Returns W (D, C) and b (C,) of a linear head: its decisions are x W + b, up to a constant a row.

    What the head compares, not its outputs: the log odds of two classes are one output, and an SVM compares distances,
    its outputs each in a unit of its own.
    """
    projection = head.projection
    units = np.eye(len(projection.offsets), dtype=np.float32)
    zero_c = head.decisions(np.zeros_like(units[:1]))
    weights = projection.weights.astype(np.float64) @ (head.decisions(units) - zero_c)
    return weights, head.decisions(projection.offsets[None])[0]


def _prepare(view: View, parameters: Parameters) -> RowScores:  # noqa: ARG001 - it has none
    head = view.head
    boundaries = Boundaries(*decision_map(head))
    return RowScores(
        head.projection,
        lambda first, outputs: -boundaries.distances(head.decisions(outputs)) + 0.0,  # noqa: ARG005
    )


DFAL = ScoreFunction(name="DFAL", needs=Ability.LINEAR, prepare=_prepare)
