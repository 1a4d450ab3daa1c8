"""Clusters of a pool: k-means with FAISS, and what is kept of it between calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import faiss
import numpy as np
import numpy.typing as npt

from services.selector.acquisition.view import Embeddings, Float32, Rows, Scope, View, frozen
from services.selector.heads import Projection

Numbers = npt.NDArray[np.int32]

# Clusters of a pool are a function of the pool: whoever asks, on whichever replica, gets the same.
_POOL_SEED: Final = 20_170_801
# Centroids are those of a sample: at least this many rows, and this many a cluster, which FAISS itself warns below 39.
_SAMPLE_ROWS: Final = 16_384
_SAMPLE_ROWS_A_CLUSTER: Final = 32
_MAX_SAMPLE_ROWS: Final = 131_072
_ITERATIONS: Final = 20
# Beyond these products of a row and a centroid, greedy k-means++ takes longer than what follows, and the second half of
# the iterations changes the sum of squares by less than a thousandth.
_LARGE_PRODUCTS: Final = 2**23
_LARGE_ITERATIONS: Final = 10
# Small problems are solved a few times, and the best solution counts.
_REPEATED_PRODUCTS: Final = 2**20
_REPEATS: Final = 5
# Points tried for each centroid to start from, beside the logarithm of how many there are.
_DRAWS: Final = 8
# k-means++ looks at a part of the sample: at least this many rows, and this many a cluster.
_START_ROWS: Final = 4_096
_START_ROWS_A_CLUSTER: Final = 16
# Up to here a pool's clusters are made anew for each row more; beyond, when it has grown by a part of itself.
_SMALL_POOL: Final = 4_096
_GROWTH: Final = 2**0.25
# Centroids that rows are compared with in one pass, and rows in one product.
_CENTROIDS_A_PASS: Final = 1_024
_GATHERED_ROWS: Final = 8_192


def k_means(points: Float32, clusters: int, seed: int) -> Float32:
    """Returns centroids, (min(clusters, n), D): Lloyd's algorithm from greedy k-means++, Arthur & Vassilvitskii 2007.

    A function of the set of points, whatever their order, and of the seed. More than 2^23 / n clusters start from the
    approximation of k-means++ by Bachem et al. 2016. On all GPUs where FAISS has any. Where points are equal, centroids
    may be, and then some of them are nearest to no point.

    Args:
        points: (n, D), float32, finite; n at least 1.
        clusters: at least 1.
        seed: 0 to 2^31 - 1.

    Costs 20 passes of 2 n D clusters operations; up to 100 where n clusters is below 2^20, 10 beyond 2^23.
    """
    count = min(clusters, len(points))
    # 0.0 in place of -0.0, which is equal and has other bytes.
    points = np.ascontiguousarray(points + np.float32(0))
    points = points[np.argsort(points.view(f"V{points.shape[1] * points.itemsize}")[:, 0], kind="stable")]
    if count == len(points):
        return points
    products = len(points) * count
    if products > _LARGE_PRODUCTS:
        return _trained(points, count, seed, None)[0]
    generator = np.random.default_rng(seed)
    repeats = min(max(_REPEATED_PRODUCTS // products, 1), _REPEATS)
    solutions = [_trained(points, count, seed, _start(points, count, generator)) for _ in range(repeats)]
    return min(solutions, key=lambda solution: solution[1])[0]


def _trained(points: Float32, count: int, seed: int, start: Float32 | None) -> tuple[Float32, float]:
    """Returns centroids, and the sum of squared distances to them in the last iteration."""
    clustering = faiss.Kmeans(
        points.shape[1],
        count,
        niter=_LARGE_ITERATIONS if start is None else _ITERATIONS,
        seed=seed,
        init_method=faiss.ClusteringInitMethod_AFK_MC2,
        # It need not warn of few points, nor draw a sample of its own.
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
        gpu=faiss.get_num_gpus() > 0,
    )
    squares = clustering.train(points, init_centroids=start)
    return np.array(clustering.centroids, np.float32), float(squares)


def _start(points: Float32, count: int, generator: np.random.Generator) -> Float32:
    """Returns some of the points, (count, D): greedy k-means++, the best of 8 + log(count) draws for each.

    With the 2 + log(count) draws of scikit-learn, one solution of 20 clear clusters in two misses some of them.
    """
    size = max(_START_ROWS, _START_ROWS_A_CLUSTER * count)
    if size < len(points):
        points = points[np.sort(generator.choice(len(points), size, replace=False))]
    norms = np.einsum("nd,nd->n", points, points)
    draws = _DRAWS + int(np.log(count))
    chosen = [int(generator.integers(len(points)))]
    squared = np.maximum(norms + norms[chosen[0]] - 2 * (points @ points[chosen[0]]), 0)
    for _ in range(1, count):
        cumulative = np.cumsum(squared, dtype=np.float64)
        tried = np.searchsorted(cumulative, generator.random(draws) * cumulative[-1], side="right")
        tried = np.minimum(tried, len(points) - 1)
        distances = norms[:, None] + norms[tried] - 2 * (points @ points[tried].T)
        lower_nt = np.maximum(np.minimum(distances, squared[:, None]), 0)
        best = int(lower_nt.sum(axis=0, dtype=np.float64).argmin())
        chosen.append(int(tried[best]))
        squared = lower_nt[:, best].copy()
    return points[chosen]


def sample_size(clusters: int) -> int:
    """Returns of how many rows centroids are made, where there are as many."""
    return min(max(_SAMPLE_ROWS, _SAMPLE_ROWS_A_CLUSTER * clusters), max(_MAX_SAMPLE_ROWS, clusters))


def sampled_k_means(embeddings: Embeddings, rows: Rows, clusters: int, generator: np.random.Generator) -> Float32:
    """Returns centroids of some rows, made of a sample of them where they are many; see `k_means`."""
    points = embeddings.gather(_drawn(rows, clusters, generator))
    return k_means(points, clusters, int(generator.integers(2**31)))


def _drawn(rows: Rows, clusters: int, generator: np.random.Generator) -> Rows:
    size = sample_size(clusters)
    return rows if len(rows) <= size else np.sort(generator.choice(rows, size, replace=False))


def assigned(embeddings: Embeddings, rows: Rows, centroids: Float32) -> tuple[Numbers, Float32]:
    """Returns the nearest centroid of each of some rows, the first of equals, and the squared distance to it.

    Args:
        embeddings: the pool.
        rows: (n,), ascending.
        centroids: (K, D).

    Returns:
        Numbers of centroids, int32, (n,), and squared distances, float32, (n,), off by about 1e-6 ‖x‖². Costs 2 N K D
        operations in one pass for each 1,024 centroids; or n in place of N, where n is below N / 8.
    """
    if len(rows) < len(embeddings) // 8:
        numbers, parts = np.empty(len(rows), np.int32), np.full(len(rows), np.inf, np.float32)
        norms = np.empty(len(rows), np.float32)
        for at in range(0, len(rows), _GATHERED_ROWS):
            span = slice(at, at + _GATHERED_ROWS)
            found = embeddings.gather(rows[span])
            norms[span] = np.einsum("nd,nd->n", found, found)
            for first, projection in _projections(centroids):
                outputs = (found @ projection.weights + projection.offsets).T
                _improve(numbers[span], parts[span], outputs, first)
    else:
        numbers, parts = _swept(embeddings, centroids, 0)
        numbers, parts, norms = numbers[rows], parts[rows], embeddings.squared_norms()[rows]
    return numbers, np.maximum(parts + norms, 0)


@dataclass(frozen=True, slots=True)
class Clusters:
    """Clusters of a pool, k-means of its first `base` rows.

    Attributes:
        base: how many rows the centroids were made of, or of a sample of which.
        centroids: (K, D), read-only.
        spread: mean squared distance of the rows they were made of to the nearest centroid.
        members: (N,), int32, the centroid nearest to each row; read-only.
    """

    base: int
    centroids: Float32
    spread: float
    members: Numbers

    @property
    def nbytes(self) -> int:
        """Bytes the arrays take."""
        return self.centroids.nbytes + self.members.nbytes


def base_rows(rows: int) -> int:
    """Returns of how many of a pool's first rows its clusters are made: all, or at least 5 of 6 beyond 4,096.

    The size of the pool alone decides, not when it was first looked at: a replica that was restarted has the clusters
    of those that were not. A pool that grows keeps its clusters until it has grown by a fifth.
    """
    if rows <= _SMALL_POOL:
        return rows
    found, steps = _SMALL_POOL, 1
    while (larger := int(_SMALL_POOL * _GROWTH**steps)) <= rows:
        found, steps = larger, steps + 1
    return found


def pool_clusters(view: View, clusters: int) -> Clusters:
    """Returns k-means clusters of the whole pool, min(clusters, N) of them; kept.

    A function of the pool alone; rows that were added are assigned to the centroids there are, until `base_rows`
    changes.
    """
    embeddings, rows = view.embeddings, len(view.free)
    base = base_rows(rows)

    def update(known: Clusters | None) -> Clusters:
        if known is None or known.base != base:
            generator = np.random.default_rng((_POOL_SEED, clusters, base))
            sample = _drawn(np.arange(base), clusters, generator)
            points = embeddings.gather(sample)
            centroids = k_means(points, clusters, int(generator.integers(2**31)))
            members, parts = _swept(embeddings, centroids, 0)
            squared = parts[sample] + np.einsum("nd,nd->n", points, points)
            spread = float(np.maximum(squared, 0).mean(dtype=np.float64))
            return Clusters(base, frozen(centroids), spread, frozen(members))
        start = len(known.members)
        if start == rows:
            return known
        members, _ = _swept(embeddings, known.centroids, start)
        members[:start] = known.members
        return Clusters(base, known.centroids, known.spread, frozen(members))

    return view.kept(Scope.POOL, ("clusters", clusters), update)


def _swept(embeddings: Embeddings, centroids: Float32, start: int) -> tuple[Numbers, Float32]:
    """Returns the nearest centroid of each row from `start` on, and ‖x - c‖² - ‖x‖²; both (N,)."""
    numbers = np.zeros(len(embeddings), np.int32)
    parts = np.full(len(embeddings), np.inf, np.float32)

    def consume(first_centroid: int) -> Callable[[int, Float32], None]:
        def keep(first: int, outputs: Float32) -> None:
            span = slice(first, first + len(outputs))
            _improve(numbers[span], parts[span], outputs.T, first_centroid)

        return keep

    for first_centroid, projection in _projections(centroids):
        embeddings.each(projection, consume(first_centroid), start)
    return numbers, parts


def _projections(centroids: Float32) -> list[tuple[int, Projection]]:
    """Returns maps of x to ‖c‖² - 2 x·c, for a few centroids each, and the number of the first of them."""
    blocks = ((at, centroids[at : at + _CENTROIDS_A_PASS]) for at in range(0, len(centroids), _CENTROIDS_A_PASS))
    return [
        (at, Projection(np.ascontiguousarray(-2 * block.T), np.einsum("kd,kd->k", block, block)))
        for at, block in blocks
    ]


def _improve(numbers: Numbers, parts: Float32, outputs: Float32, first: int) -> None:
    """Writes the least of outputs (K, n), and its number from `first` on, where it is less than what is there."""
    nearest = outputs.argmin(axis=0)
    found = np.take_along_axis(outputs, nearest[None], axis=0)[0]
    less = found < parts
    numbers[less] = nearest[less] + first
    parts[less] = found[less]
