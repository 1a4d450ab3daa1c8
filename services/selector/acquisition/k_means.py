"""KMEANS: the items nearest to the centres of as many clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from services.selector.acquisition.clusters import assigned, sampled_k_means
from services.selector.acquisition.kinds import PickFunction, Picks
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import Embeddings, Rows, View


def representatives(
    clusters: npt.NDArray[np.integer[Any]], distances: npt.NDArray[np.floating[Any]], k: int
) -> npt.NDArray[np.int64]:
    """Returns the member nearest to the centre of each cluster, that of the largest cluster first.

    Where there are fewer clusters than k, the second nearest of each follow, and so on.

    Args:
        clusters: (n,), each row's cluster, 0 or more.
        distances: (n,), to its centre.
        k: rows wanted.

    Returns:
        Positions, (min(k, n),). Among equally near rows the first, among equally large clusters the lower number.
    """
    order = np.lexsort((distances, clusters))
    sizes = np.bincount(clusters)
    # The rank of each row in its cluster, in the order of clusters and distances.
    ranks = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    sorted_clusters = clusters[order]
    found: npt.NDArray[np.int64] = order[np.lexsort((sorted_clusters, -sizes[sorted_clusters], ranks))[:k]]
    return found


def k_means_picks(embeddings: Embeddings, rows: Rows, k: int, generator: np.random.Generator) -> Picks:
    """Picks, of some rows, the one nearest to the centre of each of k clusters of them; the largest cluster first.

    The scores are the parts of the rows that are in the cluster.

    Args:
        embeddings: the pool.
        rows: (n,), ascending, at least 1; what is clustered, and picked from.
        k: at least 1.
        generator: where the clusters start, and of which rows they are made where those are more than 16,384 and than
            32 a cluster.

    Returns:
        min(k, n) picks. Costs `k_means` of the sample and `assigned` of the rows.
    """
    if k >= len(rows):
        return Picks(rows, np.full(len(rows), 1 / len(rows)))
    clusters, squared = assigned(embeddings, rows, sampled_k_means(embeddings, rows, k, generator))
    positions = representatives(clusters, squared, k)
    return Picks(rows[positions], np.bincount(clusters)[clusters[positions]] / len(rows))


def _pick(view: View, k: int, parameters: Parameters, generator: np.random.Generator) -> Picks:  # noqa: ARG001
    return k_means_picks(view.embeddings, np.flatnonzero(view.free), k, generator)


# Needs nothing but the pool: a cold start. Kang, Ryu & Kwon 2004, using cluster-based sampling to select initial
# training set for active learning in text classification.
KMEANS = PickFunction(name="KMEANS", pick=_pick)
