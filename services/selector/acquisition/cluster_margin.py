"""CLUSTER_MARGIN: uncertain items, taken from the clusters of the pool in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage

from services.selector.acquisition.clusters import Numbers, base_rows, pool_clusters
from services.selector.acquisition.kinds import PickFunction, Picks
from services.selector.acquisition.margin import MARGIN
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.picking import best
from services.selector.acquisition.view import Float32, Float64, Rows, Scope, View, frozen

# Pools up to here are clustered exactly. Larger ones are represented by k-means centroids.
EXACT_ROWS: Final = 2_048
CENTROIDS: Final = 1_024
# Clusters by default: a tenth of the rows, at most this many.
_CLUSTERS: Final = 500


def tree(points: Float32) -> Float64:
    """Returns the merges of average linkage by Euclidean distance, as scipy has them: (n - 1, 4).

    Args:
        points: (n, D), n at least 2. Costs n² / 2 numbers of memory.
    """
    centred = points.astype(np.float64)
    centred -= centred.mean(axis=0)
    norms = np.einsum("nd,nd->n", centred, centred)
    first, second = np.triu_indices(len(points), 1)
    squared = norms[first] + norms[second] - 2 * (centred @ centred.T)[first, second]
    merges: Float64 = linkage(np.sqrt(np.maximum(squared, 0)), "average")
    return merges


def cut(merges: Float64, clusters: int) -> Numbers:
    """Returns the cluster of each leaf, 0 or more, where a tree is cut into `clusters`, or fewer where merges tie."""
    numbers: Numbers = fcluster(merges, clusters, "maxclust").astype(np.int32) - np.int32(1)
    return numbers


def round_robin(clusters: npt.NDArray[np.integer[Any]], k: int) -> npt.NDArray[np.int64]:
    """Returns positions of candidates, one from each cluster in turn, from the cluster with the fewest on.

    Args:
        clusters: (n,), the candidates' clusters, the candidates from the most wanted on; so they are taken from each.
        k: how many are wanted.

    Returns:
        (min(k, n),). Of clusters of equal size, that whose best candidate is more wanted comes first.
    """
    _, firsts, members, sizes = np.unique(clusters, return_index=True, return_inverse=True, return_counts=True)
    by_cluster = np.argsort(members, kind="stable")
    ranks = np.empty(len(clusters), np.int64)
    ranks[by_cluster] = np.arange(len(clusters)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    order: npt.NDArray[np.int64] = np.lexsort((firsts[members], sizes[members], ranks))[:k]
    return order


@dataclass(frozen=True, slots=True)
class _Tree:
    """Average linkage of a pool's first `base` rows, or of the centroids of their clusters."""

    base: int
    merges: Float64

    @property
    def nbytes(self) -> int:
        return self.merges.nbytes


def clusters_of(view: View, rows: Rows, parameters: Parameters) -> Numbers:
    """Returns the clusters of some rows, (n,); those of the whole pool are kept.

    Average linkage of all rows while they are 2,048 or fewer. The memory of the exact tree grows with the square of N:
    beyond, the tree is that of 1,024 k-means centroids, and a row is where its centroid is.

    The paper cuts the tree at a distance that it chooses for each data set. Here it is cut into
    `parameters.clusters`, by default a tenth of the rows and at most 500. As many as centroids is the most there can
    be. A function of the pool alone.
    """
    base = base_rows(len(view.free))
    count = parameters.clusters or min(_CLUSTERS, -(-base // 10))
    if base < 2:
        return np.zeros(len(rows), np.int32)
    exact = len(view.free) <= EXACT_ROWS
    found = None if exact else pool_clusters(view, CENTROIDS)

    def update(known: _Tree | None) -> _Tree:
        if known is not None and known.base == base:
            return known
        return _Tree(base, frozen(tree(view.embeddings.gather(np.arange(base)) if found is None else found.centroids)))

    leaves = cut(view.kept(Scope.POOL, "CLUSTER_MARGIN", update).merges, count)
    return leaves[rows if found is None else found.members[rows]]


def _pick(view: View, k: int, parameters: Parameters, generator: np.random.Generator) -> Picks:  # noqa: ARG001
    """Picks among the candidates·k free rows of the smallest margin, in turn from each cluster of the pool.

    Citovsky et al. 2021, batch active learning at scale: clusters from the one with the fewest of these
    rows on. In a cluster the smallest margin goes first, where the paper draws one at random. The scores are those of
    MARGIN.
    """
    margins = view.scores(MARGIN, parameters)
    candidates = best(margins, view.free, parameters.candidates * k)
    picked = candidates[round_robin(clusters_of(view, candidates, parameters), k)]
    return Picks(picked, margins[picked])


CLUSTER_MARGIN = PickFunction(
    name="CLUSTER_MARGIN", pick=_pick, needs=MARGIN.needs, uses=frozenset({"candidates", "clusters"})
)
