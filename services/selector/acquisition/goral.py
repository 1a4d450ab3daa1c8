"""GORAL: the items whose label would change most how sure the head is of the pool."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.selector.acquisition.checked import checked
from services.selector.acquisition.kinds import Floats, RowScores, ScoreFunction, Scores
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import Float32, Float64, Rows, View
from services.selector.heads import Ability, Curvature, LogisticHead, Projection

# Rows of the pool that the goal is the mean over; of a larger pool, one at random of each of so many equal stretches.
GOAL_ROWS: Final = 32_768
_BLOCK_ROWS: Final = 4_096
# Smaller than any positive float32, and its logarithm is finite.
_TINY: Final = 1e-300


def goral(probs: Floats, responses: Floats) -> Scores:
    """Returns E_{y~p} |u_y - ū|, ū = Σ p_c u_c: by how much a label is expected to move the goal, either way.

    Goal-oriented active learning by influence functions: Xu & Kazantsev 2019, understanding goal-oriented active
    learning via influence functions. To label x as y adds a loss of gradient g(x, y) = x̃ ⊗ (p - e_y), x̃ = [x; 1], and
    moves the head's weights by -H⁻¹ g(x, y) to first order, H the Hessian of its penalized loss; the goal, of gradient
    G, moves by -⟨G, H⁻¹ g(x, y)⟩ = u_y - ū, u = x̃ᵀ V and V = H⁻¹ G.

    The label is not known yet. The expectation of u_y - ū over y ~ p is 0 for every x: a head that believes its own
    probabilities expects nothing of any label, so the signed expectation ranks by rounding alone. The expected size
    is what remains: it is large where a label that may well come would move the goal far, and does not bet on the
    direction, which the head cannot know. For two classes it is 2 p₀ p₁ |u₁ - u₀|.

    Args:
        probs: p, (N, C), finite, rows summing to 1.
        responses: u, (N, C), or (N, 1) for the log odds of two classes: u₁ - u₀.

    Returns:
        (N,) float64, at least 0, in nats an item of the pool when the goal is mean entropy.

    Raises:
        NotFinite: a row holds NaN or infinity.
    """
    p_cn = checked(probs).T
    u_cn = responses.T.astype(np.float64)
    deviation_n: Scores
    if len(u_cn) == 1:
        deviation_n = 2.0 * p_cn[0] * p_cn[1] * np.abs(u_cn[0])
    else:
        mean_n = np.add.reduce(p_cn * u_cn, axis=0)
        deviation_n = np.add.reduce(p_cn * np.abs(u_cn - mean_n), axis=0)
    return deviation_n


def entropy_gradient(embeddings: Float32, probs: Floats) -> Float64:
    """Returns the gradient of Σ H(p), the rows' entropies in nats, by the weights and offsets of a softmax layer.

    ∂H/∂z_c = -p_c (log p_c + H).

    Args:
        embeddings: (n, D).
        probs: p, (n, C).

    Returns:
        (D + 1, C), offsets last. Of two classes, the last column is the gradient by the log odds.
    """
    p_nc = checked(probs)
    log_p_nc = np.log(np.maximum(p_nc, _TINY))
    entropy_n = -np.add.reduce(p_nc * log_p_nc, axis=1)
    slope_nc = -p_nc * (log_p_nc + entropy_n[:, None])
    by_weights = embeddings.T @ slope_nc.astype(np.float32)
    return np.concatenate([by_weights, slope_nc.sum(axis=0)[None]], axis=0, dtype=np.float64)


def goal_rows(rows: int, most: int = GOAL_ROWS) -> Rows:
    """Returns the rows that the goal is the mean over: all, or `most` of them spread over the pool, the same each time.

    Not at equal steps, which could fall in with a period of the pool.
    """
    if rows <= most:
        return np.arange(rows)
    edges = np.arange(most + 1) * rows // most
    return np.random.default_rng(0).integers(edges[:-1], edges[1:])


def _goal_gradient(view: View, head: LogisticHead) -> Float64:
    """Returns the gradient of the pool's mean entropy by the head's weights and offsets, (D + 1, J)."""
    wanted, projection = goal_rows(len(view.embeddings)), head.projection
    total = np.zeros((len(projection.weights) + 1, len(head.labels)))
    for start in range(0, len(wanted), _BLOCK_ROWS):
        found = view.embeddings.gather(wanted[start : start + _BLOCK_ROWS])
        total += entropy_gradient(found, head.probabilities(found @ projection.weights + projection.offsets))
    return total[:, -len(head.weights) :] / len(wanted)


def _prepare(view: View, parameters: Parameters) -> RowScores:  # noqa: ARG001 - it has none
    head = view.head
    if not isinstance(head, LogisticHead):
        raise TypeError(f"GORAL needs a head of known curvature, got {head.kind}")
    influence = Curvature.of(head, view.evidence()).solve(_goal_gradient(view, head)).astype(np.float32)
    outputs, projection = len(head.weights), head.projection
    both = Projection(
        np.concatenate([projection.weights, influence[:-1]], axis=1),
        np.concatenate([projection.offsets, influence[-1]]),
    )

    def scores(first: int, found: Float32) -> Scores:  # noqa: ARG001 - rows enter by their outputs alone
        return goral(head.probabilities(found[:, :outputs]), found[:, outputs:])

    return RowScores(both, scores)


GORAL = ScoreFunction(
    name="GORAL",
    needs=Ability.PROBABILITIES | Ability.LINEAR | Ability.CURVATURE,
    prepare=_prepare,
    # The goal is the pool's.
    grows=False,
)
