"""CONTRASTIVE: the items that the head judges unlike the labeled items beside them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from services.selector.acquisition.checked import checked
from services.selector.acquisition.kinds import Floats, RowScores, ScoreFunction, Scores
from services.selector.acquisition.neighbours import nearest
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import Float32, View
from services.selector.heads import Ability

NEIGHBOURS: Final = 10
# What a probability of 0 counts as: the divergence from a class that cannot be is about 87 nats, not infinite.
_SMALLEST: Final = float(np.finfo(np.float32).tiny)
# Smaller than any positive float32, and its logarithm is finite: a probability of exactly 0 adds 0 · log(tiny) = 0.
_TINY: Final = 1e-300


def contrastive(probs: Floats, labeled_probs: Floats, neighbours: npt.NDArray[np.int64]) -> Scores:
    """Returns the mean of KL(p_neighbour ‖ p) over each row's nearest labeled rows.

    Contrastive active learning (CAL): Margatina, Vernikos, Barrault & Aletras 2021, active learning by acquiring
    contrastive examples. Alike to the encoder, not to the head: a boundary runs between them. The mean of
    KL(q ‖ p) = Σ q log q - Σ q log p over neighbours is the mean of the first term, and the second of the mean q.

    Args:
        probs: p, (N, C), finite, rows summing to 1; a probability below the smallest normal float32 counts as that.
        labeled_probs: q, (M, C), of the labeled rows.
        neighbours: positions in `labeled_probs`, (N, k), k at least 1.

    Returns:
        (N,) float64, 0 to about 87.

    Raises:
        NotFinite: a row holds NaN or infinity.
    """
    p_nc, q_mc = checked(probs), checked(labeled_probs)
    certainty_m = np.add.reduce(q_mc * np.log(np.maximum(q_mc, _TINY)), axis=1)
    # One neighbour at a time: (N, k, C) is large where there are many classes.
    mean_q_nc, certainty_n = np.zeros(p_nc.shape), np.zeros(len(p_nc))
    for position_n in neighbours.T:
        mean_q_nc += q_mc[position_n]
        certainty_n += certainty_m[position_n]
    cross_n = np.einsum("nc,nc->n", mean_q_nc, np.log(np.maximum(p_nc, _SMALLEST)))
    # A divergence is never negative, its rounding can be.
    divergence_n: Scores = np.maximum((certainty_n - cross_n) / neighbours.shape[1], 0.0)
    return divergence_n


def _prepare(view: View, parameters: Parameters) -> RowScores:
    head, embeddings = view.head, view.embeddings
    labeled = embeddings.gather(view.labeled)
    if not len(labeled):
        # All labels were taken back since the head was fit: there is nothing to contrast with.
        return RowScores(head.projection, lambda first, outputs: np.zeros(len(outputs)))  # noqa: ARG005
    labeled_probs = head.probabilities(labeled @ head.projection.weights + head.projection.offsets)
    k = min(parameters.neighbours or NEIGHBOURS, len(labeled))

    def scores(first: int, outputs: Float32) -> Scores:
        rows = embeddings.gather(np.arange(first, first + len(outputs)))
        _, positions = nearest(rows, labeled, k)
        return contrastive(head.probabilities(outputs), labeled_probs, positions)

    return RowScores(head.projection, scores)


# Its labeled rows are those of the head's label version, so that a new item of the pool changes no other's score.
CONTRASTIVE = ScoreFunction(
    name="CONTRASTIVE",
    needs=Ability.PROBABILITIES,
    prepare=_prepare,
    uses=frozenset({"neighbours"}),
)
