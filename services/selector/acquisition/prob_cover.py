"""PROB_COVER: items whose neighbourhoods cover the most of the pool."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from services.selector.acquisition.clusters import k_means, sample_size
from services.selector.acquisition.kinds import PickFunction, Picks
from services.selector.acquisition.neighbours import nearest
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import Flags, Float32, Float64, Rows, View

Bits = npt.NDArray[np.uint64]

_PURE: Final = 0.95
_CLASSES: Final = 10
_PURITY_ROWS: Final = 2_000
# The graph takes a bit a pair: 200 MB.
_MAX_ROWS: Final = 40_000
# A multiple of the 8 bits of a byte.
_STRIPE_ROWS: Final = 512
_HELD_ROWS: Final = 8_192
_EVALUATED: Final = 256


def balls(points: Float32, radius: float) -> Bits:
    """Returns which points are within a radius of which, a bit a pair, each within its own.

    Args:
        points: (n, D), float32, finite, their mean near 0.
        radius: at least 0; may be infinite.

    Returns:
        uint64, (n, ⌈n / 64⌉), in the bit order of `packed`; symmetric. Pairs are decided from products of float32, off
        by about 1e-6 of the squared norms. Costs n² D operations, as each pair is looked at once.
    """
    count = len(points)
    half_norms = np.einsum("nd,nd->n", points, points) / 2
    found = np.zeros((count, -(-count // 64) * 8), np.uint8)
    for start in range(0, count, _STRIPE_ROWS):
        stop = min(start + _STRIPE_ROWS, count)
        # x·y ≥ (‖x‖² + ‖y‖² - δ²) / 2.
        products = points[start:stop] @ points[start:].T
        products -= half_norms[start:]
        close = products >= (half_norms[start:stop] - np.float32(radius) ** 2 / 2)[:, None]
        np.fill_diagonal(close, True)
        _write(found[start:stop], close, start // 8)
        _write(found[stop:], close[:, stop - start :].T, start // 8)
    return found.view(np.uint64)


def _write(bits: npt.NDArray[np.uint8], flags: Flags, first: int) -> None:
    packed_flags = np.packbits(flags, axis=1)
    bits[:, first : first + packed_flags.shape[1]] = packed_flags


def packed(flags: Flags) -> Bits:
    """Returns flags (n,) as bits, (⌈n / 64⌉,)."""
    padded = np.zeros(-(-len(flags) // 64) * 64, np.bool_)
    padded[: len(flags)] = flags
    return np.packbits(padded).view(np.uint64)


def greedy_cover(graph: Bits, covered: Flags, k: int) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Picks k points, each the one that covers the most points that are not covered yet; the first of equals.

    Yehuda, Dekel, Hacohen & Weinshall 2022, active learning through a covering lens. What is covered is at least
    1 - 1/e of the most that k points can cover. Where everything is covered it begins anew: all points that were not
    picked count as not covered.

    A point never covers more new points than it did before, so that only those are counted again whose earlier count
    could still win: the picks are those of counting all.

    Args:
        graph: which points each covers; see `balls`.
        covered: (n,), which are covered already.
        k: at most n.

    Returns:
        Points, and how many each newly covered, both (k,). Costs 3 n² / 64 operations for most inputs, and k times
        that at worst.
    """
    count = len(graph)
    picked, gains = np.empty(k, np.int64), np.empty(k, np.int64)
    taken = np.zeros(count, np.bool_)
    open_bits = packed(~covered)
    bounds = _counts(graph, open_bits)
    for number in range(k):
        if not open_bits.any():
            open_bits = packed(~taken)
            bounds = _counts(graph, open_bits)
            bounds[taken] = -1
        row = _largest(graph, open_bits, bounds)
        picked[number], gains[number] = row, bounds[row]
        taken[row] = True
        bounds[row] = -1
        open_bits &= ~graph[row]
    return picked, gains


def _largest(graph: Bits, open_bits: Bits, bounds: npt.NDArray[np.int64]) -> int:
    """Returns the first point of the largest count, and makes the bounds that had to be looked at into counts."""
    while True:
        row = int(bounds.argmax())
        count = int(np.bitwise_count(graph[row] & open_bits).sum(dtype=np.int64))
        if count == bounds[row]:
            return row
        bounds[row] = count
        # The bounds next to the largest are likely as old.
        looked_at = (
            np.argpartition(bounds, -_EVALUATED)[-_EVALUATED:] if len(bounds) > _EVALUATED else np.arange(len(bounds))
        )
        looked_at = looked_at[bounds[looked_at] >= 0]
        bounds[looked_at] = _counts(graph[looked_at], open_bits)


def _counts(graph: Bits, flags: Bits) -> npt.NDArray[np.int64]:
    """Returns how many of the flagged points each row of a graph covers, (n,)."""
    counts = np.empty(len(graph), np.int64)
    for start in range(0, len(graph), _STRIPE_ROWS):
        span = slice(start, start + _STRIPE_ROWS)
        counts[span] = np.bitwise_count(graph[span] & flags).sum(axis=1, dtype=np.int64)
    return counts


def purity_radius(points: Float32, clusters: npt.NDArray[np.integer], rows: Rows, purity: float = _PURE) -> float:
    """Returns the largest radius at which a part of all balls hold points of their centre's cluster alone.

    The paper's choice of δ: clusters stand in for classes.

    Args:
        points: (n, D), float32, their mean near 0.
        clusters: (n,).
        rows: (m,), the centres looked at.
        purity: what part of the balls has to be pure, more than 0, at most 1.

    Returns:
        A radius; infinite where there is one cluster. Costs 2 m n D operations.
    """
    half_norms = np.einsum("nd,nd->n", points, points) / 2
    squared = np.empty(len(rows), np.float64)
    for start in range(0, len(rows), _STRIPE_ROWS):
        span = rows[start : start + _STRIPE_ROWS]
        products = points[span] @ points.T - half_norms
        products[clusters[span][:, None] == clusters] = -np.inf
        squared[start : start + len(span)] = 2 * (half_norms[span] - products.max(axis=1))
    # A ball is pure as long as it does not reach the nearest point of another cluster.
    impure = int((1 - purity) * len(rows) + 1e-9)
    reach = np.sqrt(max(float(np.partition(squared, impure)[impure]), 0.0))
    return float(np.nextafter(np.float32(reach), np.float32(0))) if np.isfinite(reach) else np.inf


def _pick(view: View, k: int, parameters: Parameters, generator: np.random.Generator) -> Picks:
    """Picks free rows that cover the most free rows within `radius` that no labeled, reserved or picked row covers.

    Coverage is counted over the free rows, at most 40,000 of them, drawn at random where there are more. Without a
    radius it is `purity_radius` with as many clusters as there are classes among the labels the head has seen, or 10
    while there are fewer than two; looked up at 2,000 rows.

    The scores are the parts of these rows that each newly covered, high again where coverage began anew. Costs n² D
    operations for n rows.
    """
    free_rows = np.flatnonzero(view.free)
    wanted = min(k, len(free_rows))
    rows = free_rows
    if len(rows) > max(_MAX_ROWS, k):
        rows = np.sort(generator.choice(rows, max(_MAX_ROWS, k), replace=False))
    points = view.embeddings.gather(rows)
    # Distances come from products, whose rounding grows with the distance from zero.
    centre = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    points -= centre
    radius = parameters.radius or _radius(view, points, generator)
    picked, gains = greedy_cover(balls(points, radius), _covered(view, points, centre, radius), wanted)
    return Picks(rows[picked], gains / len(rows))


def _radius(view: View, points: Float32, generator: np.random.Generator) -> float:
    classes = len(np.unique(view.classes[view.classes >= 0]))
    classes = classes if classes >= 2 else _CLASSES
    sample = points[_drawn(len(points), sample_size(classes), generator)]
    centroids = k_means(sample, classes, int(generator.integers(2**31)))
    _, clusters = nearest(points, centroids, 1)
    return purity_radius(points, clusters[:, 0], _drawn(len(points), _PURITY_ROWS, generator))


def _drawn(count: int, wanted: int, generator: np.random.Generator) -> Rows:
    return np.arange(count) if count <= wanted else np.sort(generator.choice(count, wanted, replace=False))


def _covered(view: View, points: Float32, centre: Float32, radius: float) -> Flags:
    """Returns which points are within the radius of a labeled or reserved row, (n,)."""
    held = np.union1d(view.labeled, view.reserved)
    covered = np.zeros(len(points), np.bool_)
    for start in range(0, len(held), _HELD_ROWS):
        left = np.flatnonzero(~covered)
        distances: Float64 | Float32
        distances, _ = nearest(points[left], view.embeddings.gather(held[start : start + _HELD_ROWS]) - centre, 1)
        covered[left] = distances[:, 0] <= radius
    return covered


# Quadratic: 20,000 rows take a few seconds.
PROB_COVER = PickFunction(name="PROB_COVER", pick=_pick, uses=frozenset({"radius"}), sub_pool=20_000, extends=True)
