"""BATCH_BALD: the items whose labels together tell most about the posterior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.selector.acquisition.bald import BALD
from services.selector.acquisition.configurations import Configurations
from services.selector.acquisition.kinds import Floats, PickFunction, Picks, Scores
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.view import Flags, Rows, View

SampledProbabilities = Callable[[Rows], Floats]

# Gains in float32 are right to about 1e-7: what is closer than this is equal.
_ROUNDING: Final = 1e-6
_CONFIGURATIONS_A_SAMPLE: Final = 20
# Groups of configurations whose gains are a bound, at a fraction of the cost, and from how many a group on.
_GROUPS: Final = 512
_WORTH_MERGING: Final = 4
# Candidates evaluated between two looks at the bound: doubling, for if it did not decide soon, it hardly does later.
_FIRST_BLOCK, _LAST_BLOCK = 32, 1_024
# Numbers in a block.
_BLOCK_NUMBERS: Final = 1 << 22
# Of probabilities kept for later picks; those of other candidates are asked for again.
_KEPT_BYTES: Final = 256 * 1024 * 1024


def batch_bald(
    probabilities: SampledProbabilities,
    scores: Scores,
    free: Flags,
    k: int,
    configurations: int,
    generator: np.random.Generator,
) -> Picks:
    """Picks greedily by I(y_1 … y_n; ω), what the labels of all picks together tell about the sample.

    Kirsch, van Amersfoort & Gal 2019, BatchBALD: efficient and diverse batch acquisition for deep Bayesian active
    learning, algorithm 1. Labels are independent given ω, so a candidate adds its BALD score less what the picks'
    labels tell of its own: I(y; ω) - I(y; y_1 … y_n) = I(y; ω) - H(y) + H(y | y_1 … y_n). That is at most its BALD
    score and at most what it added at any earlier pick, so candidates are evaluated in the order of this bound until
    none can beat the best found (lazy greedy, Minoux 1978): of a head's dropout samples a hundred, of samples far apart
    nearly all. Where configurations are many, these are evaluated over groups of similar ones first, which tell less
    and so bound the gain from above; a few in a hundred remain.

    While the configurations of the picks' classes that are possible at all are no more than `configurations`, all of
    them are kept and gains are exact. From then on gains are estimates over a sample of configurations, the same for
    all candidates and weighted so that a gain stays between 0 and the BALD score; their error falls with the root of
    `configurations` at least. What an item adds may then be estimated higher than at an earlier pick, so the order of
    evaluation is heuristic: a candidate left out for its earlier estimate may have been better by the error of both.

    S samples hold log S nats: gains sum to no more, and many picks are chosen by what little the last ones leave.

    Args:
        probabilities: from rows (n,) to samples of their class probabilities (S, n, C), of the same S for all.
        scores: BALD scores of all rows, (N,).
        free: (N,), False for rows that must not be picked.
        k: picks wanted.
        configurations: M, how many configurations of the picks' classes are kept; 20 S if that is more, for fewer
            would say little about S samples.
        generator: draws configurations; not used while all of them are kept.

    Returns:
        min(k, free rows) picks with what each added in nats, 0 to log C; the first is BALD's best with its score. Of
        gains that are equal within 1e-6 the lower row. Rows that have nothing to add come last, in the order of BALD.

    A pick costs one (M, S) x (S, n·C) product and as many logarithms as it has elements, for n candidates evaluated and
    M at most as above. Memory: 24 bytes a free row, 12 bytes x M x S, and up to 256 MB of probabilities.
    """
    rows = np.flatnonzero(free)
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    if k <= 0 or not len(rows):
        return Picks(rows[:0], np.empty(0))
    wanted = min(k, len(rows))
    candidates = _Candidates(probabilities, rows, scores[rows])
    places, gains = [0], [float(scores[rows[0]])]
    known = candidates.nothing_known
    limit = max(configurations, _CONFIGURATIONS_A_SAMPLE * known.posteriors.shape[1])
    while len(places) < wanted:
        known = known.extended(candidates.take(places[-1]), limit, generator)
        best = candidates.best(known)
        if best is None:
            rest = np.delete(np.arange(len(rows)), places)[: wanted - len(places)]
            return Picks(rows[[*places, *rest]], np.array([*gains, *np.zeros(len(rest))]))
        place, gain = best
        places.append(place)
        gains.append(gain)
    return Picks(rows[places], np.array(gains))


class _Candidates:
    """Free rows in the order of BALD, and what is known of them. A place is a position in that order.

    Args:
        source: from rows to samples of class probabilities (S, n, C).
        rows: (n,), at least one.
        scores: their BALD scores, descending.
    """

    def __init__(self, source: SampledProbabilities, rows: Rows, scores: Scores) -> None:
        self._source, self._rows, self._scores = source, rows, scores
        # What a row adds at most; -inf for one that was taken.
        self._bounds = scores.copy()
        # The places evaluated at any pick are the first so many; the bounds of the others are their scores. The first
        # of all is taken without.
        self._reached = 1
        first = source(rows[:1])
        samples, _, classes = first.shape
        self.nothing_known = Configurations.of_nothing(samples)
        self._block = min(_LAST_BLOCK, max(1, _BLOCK_NUMBERS // (samples * classes)))
        # Probabilities (n, S, C) of the first places.
        self._kept: npt.NDArray[np.floating[Any]] = np.ascontiguousarray(first.transpose(1, 0, 2))
        self._kept_places = 1
        self._kept_limit = max(1, _KEPT_BYTES // first.nbytes)

    def take(self, place: int) -> Floats:
        """Returns samples of class probabilities (S, C) of the first place or an evaluated one, never offered again."""
        self._bounds[place] = -np.inf
        return self._probabilities(np.array([place]))[:, 0]

    def best(self, known: Configurations) -> tuple[int, float] | None:
        """Returns the place that adds most to what is known, and how much; None if no place adds anything."""
        evaluated = np.argsort(-self._bounds[: self._reached], kind="stable")
        rough = known.merged(_GROUPS) if len(known.weights) >= _WORTH_MERGING * _GROUPS else None
        found: list[Rows] = []
        gains: list[Scores] = []
        at, most, block = 0, 0.0, min(_FIRST_BLOCK, self._block)
        while True:
            ahead = np.arange(self._reached, min(self._reached + block, len(self._rows)))
            ahead = np.concatenate([evaluated[at : at + block], ahead])
            ahead = ahead[np.argsort(-self._bounds[ahead], kind="stable")][:block]
            ahead = ahead[self._bounds[ahead] > max(most - _ROUNDING, _ROUNDING)]
            if not len(ahead):
                break
            new = int(np.count_nonzero(ahead >= self._reached))
            self._reached += new
            at += len(ahead) - new
            block = min(2 * block, self._block)
            probs_snc = self._probabilities(ahead)
            if rough is not None and found:
                bounds = self._gains(ahead, probs_snc, rough) + _ROUNDING
                self._bounds[ahead] = np.minimum(self._bounds[ahead], bounds)
                left = self._bounds[ahead] > max(most - _ROUNDING, _ROUNDING)
                if not left.any():
                    continue
                ahead, probs_snc = ahead[left], probs_snc[:, left]
            gain = self._gains(ahead, probs_snc, known)
            self._bounds[ahead] = gain
            found.append(ahead)
            gains.append(gain)
            most = max(most, float(gain.max()))
        if not found:
            return None
        places, added = np.concatenate(found), np.concatenate(gains)
        equal = np.flatnonzero(added >= most - _ROUNDING)
        chosen = equal[np.argmin(self._rows[places[equal]])]
        return int(places[chosen]), float(added[chosen])

    def _gains(self, places: Rows, probs_snc: Floats, known: Configurations) -> Scores:
        scores = self._scores[places]
        told = self.nothing_known.conditional_entropies(probs_snc) - known.conditional_entropies(probs_snc)
        # Beyond either end there is only rounding.
        return np.clip(scores - told, 0.0, scores)

    def _probabilities(self, places: Rows) -> Floats:
        """Returns samples of class probabilities (S, n, C), and keeps them if there is room."""
        kept = places < self._kept_places
        if kept.all():
            return self._kept[places].transpose(1, 0, 2)
        fresh = self._source(self._rows[places[~kept]]).transpose(1, 0, 2)
        probs_nsc = np.empty((len(places), *fresh.shape[1:]), fresh.dtype)
        probs_nsc[kept], probs_nsc[~kept] = self._kept[places[kept]], fresh
        # New places come in their order, so those kept stay the first ones.
        end = min(self._kept_places + len(fresh), self._kept_limit)
        if end > len(self._kept):
            longer = np.empty((min(2 * end, self._kept_limit), *fresh.shape[1:]), self._kept.dtype)
            longer[: self._kept_places] = self._kept[: self._kept_places]
            self._kept = longer
        self._kept[self._kept_places : end] = fresh[: end - self._kept_places]
        self._kept_places = end
        return probs_nsc.transpose(1, 0, 2)


def _pick(view: View, k: int, parameters: Parameters, generator: np.random.Generator) -> Picks:
    return batch_bald(
        lambda rows: view.sampled_probabilities(rows, parameters),
        view.scores(BALD, parameters),
        view.free,
        k,
        parameters.configurations,
        generator,
    )


BATCH_BALD = PickFunction(
    name="BATCH_BALD", pick=_pick, needs=BALD.needs, uses=BALD.uses | frozenset({"configurations"})
)
