"""DFAL: the items that the smallest change would move to another class."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.selector.acquisition.kinds import Floats, RowScores, ScoreFunction, Scores
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import View
from services.selector.errors import NotFinite
from services.selector.heads import Ability

# The distance to a boundary that is nowhere, which has to be finite, and so in float32.
UNREACHABLE: Final = float(np.finfo(np.float32).max)


class Boundaries:
    """The boundaries between the classes of a linear head.

    Args:
        weights: (D, J): of one output, the log odds of two classes, or of one output a class, of which the largest
            decides.
        offsets: (J,).

    Costs C² D once.
    """

    def __init__(self, weights: Floats, offsets: Floats) -> None:
        w_jd, b_j = weights.T.astype(np.float64), offsets.astype(np.float64)
        if len(w_jd) == 1:
            # Outputs of (0, z): the class of z's sign has the larger one.
            w_jd, b_j = np.concatenate([np.zeros_like(w_jd), w_jd]), np.concatenate([[0.0], b_j])
        length_cc = np.stack([np.sqrt(np.add.reduce((w_jd - w_d) ** 2, axis=1)) for w_d in w_jd])
        parallel_cc = length_cc == 0.0
        # Classes of the same weights have no boundary where their offsets differ, and share all of it otherwise.
        never_cc = parallel_cc & (b_j[:, None] != b_j)
        np.fill_diagonal(never_cc, val=True)
        self._never_cc = np.where(never_cc, UNREACHABLE, 0.0)
        self._per_gap_cc = np.where(parallel_cc, 0.0, 1.0 / np.where(parallel_cc, 1.0, length_cc))

    def distances(self, outputs: Floats) -> Scores:
        """Returns each row's distance to the nearest boundary of its class.

        Args:
            outputs: z = x W + b, (n, J), finite.

        Returns:
            (n,) float64, at least 0, in the units of x; `UNREACHABLE` where no x belongs to another class.

        Raises:
            NotFinite: a row holds NaN or infinity.

        Costs O(n C).
        """
        if not np.isfinite(outputs).all():
            raise NotFinite("outputs", int(np.argmin(np.isfinite(outputs).all(axis=1))))
        z_cn = outputs.T.astype(np.float64)
        if len(z_cn) == 1:
            z_cn = np.concatenate([np.zeros_like(z_cn), z_cn])
        top_n = np.argmax(z_cn, axis=0)
        z_top_n = np.maximum.reduce(z_cn, axis=0)
        nearest_n = np.full(len(top_n), UNREACHABLE)
        for z_n, per_gap_c, never_c in zip(z_cn, self._per_gap_cc, self._never_cc, strict=True):
            distance_n = (z_top_n - z_n) * per_gap_c[top_n] + never_c[top_n]
            np.minimum(nearest_n, distance_n, out=nearest_n)
        return nearest_n


def dfal(outputs: Floats, weights: Floats, offsets: Floats) -> Scores:
    """Returns the negative distance to the boundary, -min_j (z_top - z_j) / ‖w_top - w_j‖.

    DeepFool active learning: Ducoffe & Precioso 2018, adversarial active learning for deep networks. What DeepFool
    searches step by step is exact in one step where outputs are linear. Of their method the choice of items is here;
    that the nearest point of another class is added to the training set under the item's label is not.

    Args:
        outputs: z = x W + b, (N, J), finite: J = 1 for the log odds of two classes, else one a class.
        weights: W, (D, J).
        offsets: b, (J,).

    Returns:
        (N,) float64, at most 0, in the units of x; at least -`UNREACHABLE`.

    Raises:
        NotFinite: a row holds NaN or infinity.
    """
    return -Boundaries(weights, offsets).distances(outputs) + 0.0


def _prepare(view: View, parameters: Parameters) -> RowScores:  # noqa: ARG001 - it has none
    # Outputs, not `decisions`, which may be scaled.
    projection = view.head.projection
    boundaries = Boundaries(projection.weights, projection.offsets)
    return RowScores(projection, lambda first, outputs: -boundaries.distances(outputs) + 0.0)  # noqa: ARG005


DFAL = ScoreFunction(name="DFAL", needs=Ability.LINEAR, prepare=_prepare)
