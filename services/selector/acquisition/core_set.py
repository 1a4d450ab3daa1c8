"""CORESET: the items that are farthest from all that is labeled."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.covered import Distances
from services.selector.acquisition.kinds import PickFunction, Picks
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.picking import best
from services.selector.acquisition.view import Embeddings, Flags, Float32, Float64, Rows, View

# Candidates added in a round: at least, and at most.
_FEWEST = 32
_MOST = 512
# More candidates than this are only needed where as many rows are as far as one another.
_ENOUGH = 1_024
# Candidates that stay for the next round.
_STAY = 256
# Centers multiplied at a time in float64.
_CENTERS = 4_096


def core_set(view: View, k: int, parameters: Parameters, generator: np.random.Generator) -> Picks:  # noqa: ARG001
    """Picks rows one after the other, each the free row that is farthest from the nearest center.

    Greedy k-center: Gonzalez 1985; as an acquisition function Sener & Savarese 2018, active learning for convolutional
    neural networks: a core-set approach. Centers are the labeled rows, those reserved by others, and the picks before.
    Where nothing is labeled or reserved the pool's mean is the first center, so that the first pick is the row farthest
    from it. The largest distance of a row to its nearest center is then at most twice the least that any k picks
    could reach beside those centers.

    Over a fixed representation the picks tend to be outliers (Vysogorets & Gopal): with `parameters.representation` a
    head with hidden layers offers its penultimate activations, which move with the labels.

    The picks are those of the rule in float64, ties to the lower row: passes in float32 give bounds, and whatever row
    could be the farthest by them is measured exactly. Only where more than about a thousand rows are so equally far
    that float32 cannot tell them apart, rounding chooses among them.

    Scores are Euclidean distances to the nearest center at the time of the pick, at least 0, never increasing.
    Distances to labeled rows are kept between calls (4 bytes a row). A call costs a pass over the pool for each 128 new
    labels and for each 128 reserved rows, and one for each dozen of picks or so.
    """
    space = view.representation(parameters)
    distances = Distances(view, space)
    squared = distances.to_labeled().squared.copy()
    reserved = space.gather(view.reserved)
    distances.lower(squared, reserved)
    centers = np.concatenate([space.gather(view.labeled), reserved]).astype(np.float32)
    if not len(centers):
        mean = distances.mean()[None]
        distances.lower(squared, mean)
        return _greedy(distances, space, squared, mean, view.free, k)
    return _greedy(distances, space, squared, centers, view.free, k)


def _greedy(
    distances: Distances,
    space: Embeddings,
    squared: Float32,
    centers: Float32 | Float64,
    free: Flags,
    k: int,
) -> Picks:
    """Picks from squared distances (N,) to centers (M, D); lowers the former."""
    wanted = min(k, int(np.count_nonzero(free)))
    waiting = free.copy()
    candidates = _Candidates(space, centers)
    rows: list[int] = []
    scores: list[float] = []
    width = min(max(_FEWEST, wanted), 4 * _FEWEST)
    while len(rows) < wanted:
        many = len(candidates) >= _ENOUGH
        bounds = _bounds(distances, squared, certain=not many)
        added = best(bounds, waiting, _FEWEST if many else width)
        waiting[added] = False
        candidates.add(added)
        bounds[~waiting] = -1.0
        rival = int(np.argmax(bounds))
        before = len(rows)
        while len(rows) < wanted:
            row, distance = candidates.farthest()
            beaten = distance > bounds[rival] or (distance == bounds[rival] and row < rival)
            if not beaten and not (many and len(rows) == before):
                break
            candidates.pick(row)
            rows.append(row)
            scores.append(np.sqrt(distance))
        if len(rows) == before:
            width = min(2 * width, _MOST)
        elif len(rows) < wanted:
            distances.lower(squared, space.gather(rows[before:]))
            waiting[candidates.drop(_STAY)] = True
    return Picks(np.array(rows, np.int64), np.array(scores, np.float64))


def _bounds(distances: Distances, squared: Float32, *, certain: bool) -> Float64:
    """Returns what true squared distances (N,) are at most; or, if not certain, what they are but for rounding."""
    uncertain = distances.uncertainty(squared)
    return squared + uncertain if certain else np.where(squared <= uncertain, 0.0, squared)


class _Candidates:
    """Rows whose distances to the nearest center are known in float64.

    Args:
        space: where rows lie.
        centers: the first centers, (M, D), at least one.
    """

    def __init__(self, space: Embeddings, centers: Float32 | Float64) -> None:
        self._space = space
        self._centers = centers
        self._picked: list[Float64] = []
        self._rows: Rows = np.empty(0, np.int64)
        self._points: Float64 = np.empty((0, space.dimension))
        # Below 0 for rows that were picked.
        self._squared: Float64 = np.empty(0)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._squared >= 0))

    def add(self, rows: Rows) -> None:
        """Measures more rows."""
        if not len(rows):
            return
        points = self._space.gather(rows).astype(np.float64)
        squared = self._to_centers(points)
        for center in self._picked:
            np.minimum(squared, _squared(points - center), out=squared)
        self._rows = np.concatenate([self._rows, rows])
        self._points = np.concatenate([self._points, points])
        self._squared = np.concatenate([self._squared, squared])

    def farthest(self) -> tuple[int, float]:
        """Returns the farthest row, the lowest of equals, and its squared distance; less than 0 if there is none."""
        if not len(self):
            return -1, -1.0
        most = self._squared.max()
        return int(self._rows[self._squared == most].min()), float(most)

    def pick(self, row: int) -> None:
        """Makes a candidate a center."""
        at = int(np.flatnonzero(self._rows == row)[0])
        center = self._points[at].copy()
        self._picked.append(center)
        np.minimum(self._squared, _squared(self._points - center), out=self._squared)
        self._squared[at] = -1.0

    def drop(self, stay: int) -> Rows:
        """Forgets all but the farthest candidates; returns those that are forgotten and were not picked."""
        order = np.lexsort((self._rows, -self._squared))[: min(stay, len(self))]
        gone = self._squared >= 0
        gone[order] = False
        dropped: Rows = self._rows[gone]
        self._rows, self._points, self._squared = self._rows[order], self._points[order], self._squared[order]
        return dropped

    def _to_centers(self, points: Float64) -> Float64:
        """Returns squared distances (n,) of points (n, D) to the nearest of the first centers."""
        found = np.full(len(points), np.inf)
        for first in range(0, len(self._centers), _CENTERS):
            centers = self._centers[first : first + _CENTERS].astype(np.float64)
            # The product tells which is nearest; the difference, how far, and exactly 0 for a duplicate.
            nearest = np.argmin(_squared(centers) - 2.0 * (points @ centers.T), axis=1)
            np.minimum(found, _squared(points - centers[nearest]), out=found)
        return found


def _squared(vectors: Float64) -> Float64:
    found: Float64 = np.einsum("nd,nd->n", vectors, vectors)
    return found


CORESET = PickFunction(name="CORESET", pick=core_set, uses=frozenset({"representation"}), extends=True)
