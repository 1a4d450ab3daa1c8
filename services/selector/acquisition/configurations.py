"""The classes that chosen items may have together, and what each such configuration tells about the posterior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from services.selector.acquisition.kinds import Floats, Scores

Float32 = npt.NDArray[np.float32]

# Far above the least positive float32, and still nothing: a probability of exactly 0 adds 1e-30 · log 1e-30 = -7e-29.
_TINY = 1e-30
# Directions of the posteriors with less than this part of the largest second moment are within its rounding.
_LEAST_MOMENT = 1e-6
# A tile of predictions and one of their logarithms stay in a core's own cache, and are wide enough for the product.
_TILE_ROWS, _TILE_COLUMNS = 256, 512


@dataclass(frozen=True, slots=True, eq=False)
class Configurations:
    """Configurations of the chosen items' classes: M of them, enumerated or sampled, each at most once.

    Attributes:
        weights: (M,), float64, positive, summing to 1: probabilities where all configurations are here.
        posteriors: (M, S), float32, rows summing to 1: p(ω | configuration) of the S samples.
    """

    weights: Scores
    posteriors: Float32

    @classmethod
    def of_nothing(cls, samples: int) -> Self:
        """Returns the one configuration of no items, which tells nothing about the S samples."""
        return cls(np.ones(1), np.full((1, samples), 1 / samples, np.float32))

    def extended(self, probs_sc: Floats, limit: int, generator: np.random.Generator) -> Self:
        """Returns the configurations with one more item: each of these with each of the item's classes.

        If more than `limit` of them are possible, `limit` are kept such that the weight of each is right in
        expectation: those of large weight as they are, of the others a systematic sample, all with the same weight
        (Fearnhead & Clifford 2003, on-line inference for hidden Markov models via particle filters, section 3). All
        weights are then adjusted so that each of the S samples has 1/S of the probability, as it has over all
        configurations (Deville & Särndal 1992, calibration estimators in survey sampling, linear method). Otherwise
        what one item's sampling does to that would stay and add up from item to item.

        Args:
            probs_sc: samples of the item's class probabilities, (S, C).
            limit: how many configurations are kept, at least 1.
            generator: draws one number if there are more.
        """
        predicted = self.posteriors.astype(np.float64) @ probs_sc
        weights = (self.weights[:, None] * predicted).ravel()
        kept = np.flatnonzero(weights > _TINY)
        weights = weights[kept]
        sampled = len(kept) > limit
        if sampled:
            chosen, weights = _reduced(weights, limit, generator)
            kept = kept[chosen]
        before, classes = np.divmod(kept, probs_sc.shape[1])
        posteriors = self.posteriors[before]
        posteriors *= probs_sc.T.astype(np.float32)[classes]
        posteriors /= np.add.reduce(posteriors, axis=1, keepdims=True)
        if sampled:
            weights = _calibrated(weights, posteriors)
        return type(self)(weights / weights.sum(), posteriors)

    def merged(self, groups: int) -> Self:
        """Returns about so many configurations, each of them some of these that tell nearly the same.

        Who knows only the group knows less: `conditional_entropies` of the result are at least those of these, and
        little more where the groups are tight. Each configuration joins the nearest of `groups` of them that are spread
        evenly over their order, in which neighbours share the classes of the first items.

        Costs one (M, S) x (S, groups) product.
        """
        centres = self.posteriors[np.linspace(0, len(self.weights) - 1, groups).astype(np.int64)]
        nearest = np.argmax(self.posteriors @ centres.T - (centres * centres).sum(axis=1) / 2, axis=1)
        order = np.argsort(nearest, kind="stable")
        starts = np.flatnonzero(np.diff(nearest[order], prepend=-1))
        weights = np.add.reduceat(self.weights[order], starts)
        weighted = self.posteriors[order] * self.weights[order].astype(np.float32)[:, None]
        kept = weights > _TINY
        posteriors = np.add.reduceat(weighted, starts, axis=0)[kept]
        posteriors /= np.add.reduce(posteriors, axis=1, keepdims=True)
        return type(self)(weights[kept], posteriors)

    def conditional_entropies(self, probs_snc: Floats) -> Scores:
        """Returns H(y | classes of the chosen items) of some items in nats: Σ weight H(Σ_ω p(ω | configuration) P_ω).

        The joint entropy with the chosen items, less theirs.

        Args:
            probs_snc: samples of class probabilities, (S, n, C).

        Returns:
            (n,) float64, 0 to log C; products and logarithms are of float32, so right to about 1e-7 log C.

        Costs one (M, S) x (S, n·C) product and as many logarithms as it has elements; 0.5 MB beside a copy of
        probs_snc.
        """
        samples, items, classes = probs_snc.shape
        probs = np.ascontiguousarray(probs_snc, np.float32).reshape(samples, items * classes)
        # Their weighted means are then positive, too.
        probs = np.maximum(probs, np.float32(_TINY))
        weights = self.weights.astype(np.float32)
        negated = np.zeros(items * classes)
        for left in range(0, items * classes, _TILE_COLUMNS):
            columns = np.ascontiguousarray(probs[:, left : left + _TILE_COLUMNS])
            for top in range(0, len(weights), _TILE_ROWS):
                tile = slice(top, top + _TILE_ROWS)
                predicted = self.posteriors[tile] @ columns
                predicted *= np.log(predicted)
                negated[left : left + _TILE_COLUMNS] += weights[tile] @ predicted
        entropies: Scores = -np.add.reduce(negated.reshape(items, classes), axis=1) + 0.0
        return entropies


def _reduced(weights: Scores, limit: int, generator: np.random.Generator) -> tuple[npt.NDArray[np.int64], Scores]:
    """Returns which of more than `limit` positive weights to keep, ascending, and their new weights."""
    order = np.argsort(-weights, kind="stable")
    descending = weights[order]
    # tails[j] is the sum from j on; a weight is large if it is at least its share of what is left.
    tails = np.cumsum(descending[::-1])[::-1][:limit]
    left = limit - np.arange(limit)
    large = min(int(np.count_nonzero(descending[:limit] * left >= tails)), limit - 1)
    share = tails[large] / left[large]
    small = np.sort(order[large:])
    marks = (generator.random() + np.arange(left[large])) * share
    drawn = small[np.minimum(np.searchsorted(np.cumsum(weights[small]), marks, side="right"), len(small) - 1)]
    kept = np.concatenate([order[:large], drawn])
    new = np.concatenate([descending[:large], np.full(len(drawn), share)])
    ascending = np.argsort(kept, kind="stable")
    return kept[ascending], new[ascending]


def _calibrated(weights: Scores, posteriors: Float32) -> Scores:
    """Returns weights, near those given, under which the posteriors have the uniform distribution as their mean.

    Where there are none, as with fewer configurations than samples, those that come near it.
    """
    samples = posteriors.shape[1]
    moments = (posteriors * weights.astype(np.float32)[:, None]).T @ posteriors
    missing = 1 / samples - weights @ posteriors
    factors, *_ = np.linalg.lstsq(moments.astype(np.float64), missing, rcond=_LEAST_MOMENT)
    adjusted: Scores = weights * np.maximum(1 + posteriors @ factors, 0)
    return adjusted
