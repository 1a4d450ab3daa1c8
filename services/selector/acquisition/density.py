"""DENSITY: uncertain items from where there are many."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from services.selector.acquisition.clusters import base_rows, pool_clusters
from services.selector.acquisition.kinds import RowScores, ScoreFunction, Scores
from services.selector.acquisition.max_entropy import max_entropy
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import Float32, Float64, View
from services.selector.heads import Ability, Projection

# Clusters by default: √N, at most this many.
_CLUSTERS: Final = 100
# Squared distances are found from products of float32, off by this part of a squared norm.
_ROUNDING: Final = 1e-6


def density(squared_kn: Float32, weights: Float64, variance: float) -> Scores:
    """Returns Σ_c w_c exp(-‖x - m_c‖² / 2σ²): a mixture of equal Gaussians around cluster centres, 1 at most.

    Nguyen & Smeulders 2004, active learning using pre-clustering: their p(x), up to a factor that all rows share.

    Args:
        squared_kn: squared distances of rows to centres, float32, (K, n).
        weights: each cluster's part of the rows, (K,), summing to 1.
        variance: σ², more than 0.

    Returns:
        (n,) float64, 0 to 1.
    """
    found: Scores = (weights.astype(np.float32) @ np.exp(squared_kn * np.float32(-0.5 / variance))).astype(np.float64)
    return found


def clusters_of(rows: int, parameters: Parameters) -> int:
    """Returns how many clusters a pool has: as the caller says, or √N and at most 100.

    N is what `base_rows` says, so that a pool that grows keeps its clusters.
    """
    return parameters.clusters or min(_CLUSTERS, math.isqrt(base_rows(rows)))


def _prepare(view: View, parameters: Parameters) -> RowScores:
    """Multiplies rows with the head and with the centres, side by side.

    σ² is the mean squared distance of rows to their own centre. Costs 2 N D (J + K) operations and N K exponentials,
    and k-means of the pool once.
    """
    head, norms = view.head, view.embeddings.squared_norms()
    found = pool_clusters(view, clusters_of(len(view.free), parameters))
    weights = np.bincount(found.members, minlength=len(found.centroids)) / len(found.members)
    smallest = float(np.finfo(np.float32).tiny)
    variance = max(found.spread, _ROUNDING * float(norms.mean(dtype=np.float64)), smallest)
    first_projection = head.projection
    outputs_of_head = first_projection.weights.shape[1]
    projection = Projection(
        np.concatenate([first_projection.weights, -2 * found.centroids.T], axis=1),
        np.concatenate([first_projection.offsets, np.einsum("kd,kd->k", found.centroids, found.centroids)]),
    )

    def scores(first: int, outputs: Float32) -> Scores:
        squared = np.maximum(outputs.T[outputs_of_head:] + norms[first : first + len(outputs)], 0)
        entropy = max_entropy(head.probabilities(outputs[:, :outputs_of_head]))
        return entropy * density(squared, weights, variance)

    return RowScores(projection, scores)


DENSITY = ScoreFunction(
    name="DENSITY", needs=Ability.PROBABILITIES, prepare=_prepare, uses=frozenset({"clusters"}), grows=False
)
