"""TYPICLUST: the typical items of clusters where nothing is labeled yet."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.selector.acquisition.clusters import pool_clusters
from services.selector.acquisition.kinds import PickFunction, Picks
from services.selector.acquisition.neighbours import nearest
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import Float32, Float64, Rows, Scope, View, frozen

_MAX_CLUSTERS: Final = 500
_SMALL_CLUSTER: Final = 5
_NEIGHBOURS: Final = 20
# Of a larger cluster, this many rows are looked at: distances between all of them grow with the square.
_LOOKED_AT: Final = 4_096


def typicality(points: Float32, neighbours: int) -> Float64:
    """Returns 1 / the mean distance to the nearest other points.

    Hacohen, Dekel & Weinshall 2022, active learning on a budget.

    Args:
        points: (n, D), float32, finite.
        neighbours: how many; all others where there are fewer.

    Returns:
        (n,) float64. At most 10⁶, and at most 1,000 over the root mean squared distance from the mean, below which
        distances are rounding; 0 for a point without others. Costs 2 n² D operations.
    """
    if len(points) < 2:
        return np.zeros(len(points))
    # The nearest of all is the point itself, or one equal to it.
    distances, _ = nearest(points, points, neighbours + 1)
    deviation = float(np.sqrt(points.var(axis=0, dtype=np.float64).sum()))
    typical: Float64 = 1 / np.maximum(distances[:, 1:].mean(axis=1, dtype=np.float64), max(1e-3 * deviation, 1e-6))
    return typical


def turns(
    sizes: npt.NDArray[np.integer[Any]], held: npt.NDArray[np.integer[Any]], free: npt.NDArray[np.integer[Any]]
) -> Iterator[int]:
    """Yields clusters in the order in which a row is taken of them, until none is free.

    First comes the cluster of which the fewest rows are held, and of those the largest, then the lower number. One
    with fewer than five rows has its turn when no other has a free row: it is an outlier.

    Args:
        sizes: (K,), rows of each cluster.
        held: (K,), how many of them are labeled or reserved.
        free: (K,), how many of them may be taken.
    """
    left = free.tolist()
    heap = [
        (size < _SMALL_CLUSTER, count, -size, cluster)
        for cluster, (size, count) in enumerate(zip(sizes.tolist(), held.tolist(), strict=True))
        if left[cluster]
    ]
    heapq.heapify(heap)
    while heap:
        small, count, size, cluster = heap[0]
        yield cluster
        left[cluster] -= 1
        if left[cluster]:
            heapq.heapreplace(heap, (small, count + 1, size, cluster))
        else:
            heapq.heappop(heap)


def rounded_up(clusters: int) -> int:
    """Returns a number of clusters that is at most a quarter more: eight of them between powers of two, and their like.

    So that some labels later the kept clusters still serve. There are never fewer clusters than rows held and wanted.
    """
    step = max(1 << max((clusters - 1).bit_length() - 3, 0), 1)
    return -(-clusters // step) * step


@dataclass(frozen=True, slots=True)
class _Typical:
    """Typicality of the rows of a cluster that were looked at.

    Attributes:
        base: which centroids they are nearest to.
        size: of the cluster.
        values: (min(size, 4,096),).
    """

    base: int
    size: int
    values: Float64

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


def _pick(view: View, k: int, parameters: Parameters, generator: np.random.Generator) -> Picks:  # noqa: ARG001
    """Picks the most typical free row of a cluster, again and again; see `turns` for which.

    There are as many clusters as rows labeled, reserved and wanted, `rounded_up`, at most 500; or as the caller says.
    The paper looks for neighbours among the unlabeled rows of the cluster, here among all of them, so that typicality
    depends on the pool alone. A cluster of more than 4,096 rows is represented by that many, evenly spread over it;
    its other rows have typicality 0.

    The scores are typicality. Costs k-means of the pool, and 2 n² D operations a cluster of n rows; both kept.
    """
    free_rows = np.flatnonzero(view.free)
    held = np.union1d(view.labeled, view.reserved)
    count = parameters.clusters or min(rounded_up(len(held) + k), _MAX_CLUSTERS)
    found = pool_clusters(view, count)
    members, clusters = found.members, len(found.centroids)
    sizes = np.bincount(members, minlength=clusters)
    free = np.bincount(members[free_rows], minlength=clusters)
    wanted = min(k, len(free_rows))
    queues: dict[int, Iterator[tuple[int, float]]] = {}
    rows, scores = np.empty(wanted, np.int64), np.empty(wanted)
    for number, cluster in zip(range(wanted), turns(sizes, np.bincount(members[held], minlength=clusters), free)):  # noqa: B905
        if cluster not in queues:
            all_rows = np.flatnonzero(members == cluster)
            values = _kept_typicality(view, (count, cluster), found.base, all_rows, parameters)
            queues[cluster] = _most_typical(all_rows, values, view.free)
        rows[number], scores[number] = next(queues[cluster])
    return Picks(rows, scores)


def _kept_typicality(view: View, key: tuple[int, int], base: int, rows: Rows, parameters: Parameters) -> Float64:
    """Returns typicality of a cluster's rows, (n,)."""
    neighbours = parameters.neighbours or _NEIGHBOURS
    looked_at = (
        np.arange(len(rows)) if len(rows) <= _LOOKED_AT else np.linspace(0, len(rows) - 1, _LOOKED_AT).astype(np.int64)
    )

    def update(known: _Typical | None) -> _Typical:
        # As long as the centroids are the same, rows only join a cluster.
        if known is not None and (known.base, known.size) == (base, len(rows)):
            return known
        return _Typical(base, len(rows), frozen(typicality(view.embeddings.gather(rows[looked_at]), neighbours)))

    values = np.zeros(len(rows))
    values[looked_at] = view.kept(Scope.POOL, ("TYPICLUST", neighbours, *key), update).values
    return values


def _most_typical(rows: Rows, values: Float64, free: npt.NDArray[np.bool_]) -> Iterator[tuple[int, float]]:
    """Yields free rows and their typicality, the most typical first, of equals the lower row."""
    order = np.argsort(-values, kind="stable")
    order = order[free[rows[order]]]
    return zip(rows[order].tolist(), values[order].tolist(), strict=True)


TYPICLUST = PickFunction(name="TYPICLUST", pick=_pick, uses=frozenset({"clusters", "neighbours"}))
