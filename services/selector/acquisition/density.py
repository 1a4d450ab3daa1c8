"""DENSITY: uncertain items from where there are many."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from services.selector.acquisition.clusters import base_rows, pool_clusters
from services.selector.acquisition.kinds import RowScores, ScoreFunction, Scores
from services.selector.acquisition.max_entropy import max_entropy
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import Float32, Float64, Scope, View, frozen
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


def pool_density(view: View, clusters: int) -> Float32:
    """Returns the density of all rows of a pool, float32, (N,), read-only; kept, as it does not depend on the head.

    σ² is the mean squared distance of rows to their own centre. Costs 2 N D K operations and N K exponentials each
    time the pool has grown, and k-means of the pool now and then.
    """
    norms = view.embeddings.squared_norms()
    found = pool_clusters(view, clusters)

    def update(known: Float32 | None) -> Float32:
        if known is not None and len(known) == len(norms):
            return known
        weights = np.bincount(found.members, minlength=len(found.centroids)) / len(norms)
        smallest = float(np.finfo(np.float32).tiny)
        variance = max(found.spread, _ROUNDING * float(norms.mean(dtype=np.float64)), smallest)
        densities = np.empty(len(norms), np.float32)

        def keep(first: int, outputs: Float32) -> None:
            span = slice(first, first + len(outputs))
            densities[span] = density(np.maximum(outputs.T + norms[span], 0), weights, variance)

        centroid_norms = np.einsum("kd,kd->k", found.centroids, found.centroids)
        view.embeddings.each(Projection(np.ascontiguousarray(-2 * found.centroids.T), centroid_norms), keep)
        return frozen(densities)

    return view.kept(Scope.POOL, ("DENSITY", clusters), update)


def _prepare(view: View, parameters: Parameters) -> RowScores:
    """Weights the entropy of rows with their density."""
    head = view.head
    densities = pool_density(view, clusters_of(len(view.free), parameters))

    def scores(first: int, outputs: Float32) -> Scores:
        return max_entropy(head.probabilities(outputs)) * densities[first : first + len(outputs)]

    return RowScores(head.projection, scores)


DENSITY = ScoreFunction(
    name="DENSITY", needs=Ability.PROBABILITIES, prepare=_prepare, uses=frozenset({"clusters"}), grows=False
)
