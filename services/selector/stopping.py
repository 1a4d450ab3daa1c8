"""Signals that further labels may no longer be worth a person's time. Pure: arrays in, numbers out.

All are of a stop set: rows of the pool drawn once, labeled or not. None knows the true labels, so none can tell how
good a head is: they tell how much it still changes, and how sure it says it is. A held-out labeled set tells more,
where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.selector.heads import Ability, Head

Floats = npt.NDArray[np.floating[Any]]
Rows = npt.NDArray[np.int64]

STOP_SET_ROWS: Final = 1_000
# Labels between two heads that are compared: nearly every head agrees with that of one label before.
STEP: Final = 20
# Bloodgood & Vijay-Shanker's: as much agreement, on average over so many comparisons.
THRESHOLD: Final = 0.99
WINDOW: Final = 3

# What the rounding of a mean may lack of its threshold.
_ROUNDING: Final = 1e-9
# Smaller than any positive float32, and its logarithm is finite: a probability of exactly 0 adds 0 · log(tiny) = 0.
_TINY: Final = 1e-300


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppingSignals:
    """What one head, and the step from an earlier one, say about stopping.

    Attributes:
        labeled: labeled items that the head was fit on.
        head_version: of the head.
        since: labeled items that the earlier head was fit on; None when there was none.
        agreement: Cohen's κ of the two heads' predictions, at most 1; see `agreement`. None without an earlier head.
        change: share of predictions that differ, 0 to 1; see `change`. None without an earlier head.
        uncertainty: mean entropy over log C, 0 to 1; see `uncertainty`. None for a head without probabilities.
        expected_error: 1 - mean max p, 0 to 1 - 1/C; see `expected_error`. None for a head without probabilities.
    """

    labeled: int
    head_version: int
    since: int | None
    agreement: float | None
    change: float | None
    uncertainty: float | None
    expected_error: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a head predicts for the stop set.

    Attributes:
        labels: the labels the head has seen, C of them.
        classes: the likeliest label of each row as a number into `labels`, (n,); the lower of equals.
        probs: (n, C), None for a head without probabilities.
    """

    labels: tuple[str, ...]
    classes: npt.NDArray[np.integer[Any]]
    probs: Floats | None

    @classmethod
    def of(cls, head: Head, embeddings: npt.NDArray[np.float32]) -> Predictions:
        """Returns a head's predictions for embeddings (n, D)."""
        projection = head.projection
        probs = head.probabilities(embeddings @ projection.weights + projection.offsets)
        known = Ability.PROBABILITIES in head.abilities
        return cls(head.labels, np.argmax(probs, axis=1), probs if known else None)

    def names(self) -> npt.NDArray[np.object_]:
        """Returns the predicted labels, str, (n,)."""
        names: npt.NDArray[np.object_] = np.array(self.labels, np.object_)[self.classes]
        return names


def stop_set(rows: int, size: int = STOP_SET_ROWS) -> Rows:
    """Returns the rows of a pool that signals are measured on.

    Those with the smallest hashes of their row numbers: the same on every replica, at random among the pool, and
    nested: a row leaves only when a later one takes its place, so that a pool that grows by a tenth keeps nine tenths.

    Args:
        rows: of the pool.
        size: rows wanted, at least 1.

    Returns:
        (min(rows, size),), ascending.

    Costs some passes over N numbers (20 to 70 ms for a million): to be kept until the pool has more rows.
    """
    if rows <= size:
        return np.arange(rows)
    chosen = np.argpartition(_hashes(rows), size - 1)[:size]
    return np.sort(chosen)


def agreement(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> float:
    """Returns Cohen's κ = (A - E) / (1 - E) of two lists of labels: agreement A beyond E, that of chance.

    Cohen 1960; between successive models, for stopping, Bloodgood & Vijay-Shanker 2009, a method for stopping active
    learning based on stabilizing predictions. It tells that further labels of the kind that were chosen no longer
    change predictions: a κ of T bounds the change of the F-measure by 4 (1 - T) / T (Bloodgood & Grothendieck 2013). It
    does not tell that predictions are right, nor that labels of another kind, of a cluster or class nobody has looked
    at, would not change them. Where nearly all predictions are of one class a few changes make it small. Steps of
    different numbers of labels do not compare.

    Args:
        before: labels, (n,), n at least 1.
        after: labels of the same rows, (n,).

    Returns:
        At most 1, and 1 when all are the same, those of one class alone too, where A = E = 1. 0 is chance.
    """
    labels, numbers = np.unique(np.concatenate([before, after]), return_inverse=True)
    first, second = numbers[: len(before)], numbers[len(before) :]
    if np.array_equal(first, second):
        return 1.0
    shares = [np.bincount(part, minlength=len(labels)) / len(part) for part in (first, second)]
    chance = float(shares[0] @ shares[1])
    return (float(np.mean(first == second)) - chance) / (1.0 - chance)


def change(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> float:
    """Returns the share of labels that differ, 0 to 1: of two lists (n,), n at least 1.

    What `agreement` is made of, without its correction for chance: of 100 items, as many get another label now. It
    tells no more than that one.
    """
    return float(np.mean(before != after))


def uncertainty(probs: Floats) -> float:
    """Returns the mean entropy of predictions as a share of the largest possible, 0 to 1.

    Overall uncertainty: Zhu, Wang & Hovy 2008, multi-criteria-based strategy to stop active learning for data
    annotation. It falls while the head learns and levels off where only items that are ambiguous by nature are left;
    that it no longer falls says more than its height, which depends on the head's regularization and on how well
    calibrated it is. It cannot see an error that the head is sure of.

    Args:
        probs: (n, C), n at least 1, C at least 2.
    """
    entropies = -np.add.reduce(probs * np.log(np.maximum(probs, _TINY, dtype=np.float64)), axis=1)
    return float(np.clip(entropies.mean() / math.log(probs.shape[1]), 0.0, 1.0))


def expected_error(probs: Floats) -> float:
    """Returns 1 - mean max p: the share of the head's predictions that it expects to be wrong, 0 to 1 - 1/C.

    The expected error of Roy & McCallum 2001, toward optimal active learning through sampling estimation of error
    reduction; for stopping, Zhu, Wang & Hovy 2008. If the head's probabilities are right it is the most that accuracy
    could still gain, so a small one says that little is left. It is no estimate of what will be gained: a part of it
    is in the items' nature, and a head that is too sure of itself, or has never seen a class, expects too little.

    Args:
        probs: (n, C), n at least 1.
    """
    return max(0.0, 1.0 - float(np.maximum.reduce(probs, axis=1).mean(dtype=np.float64)))


def due(labeled: int, since: int | None, step: int = STEP) -> bool:
    """Tells whether a head of so many labels is far enough from the last one that was compared, of `since` labels.

    Signals of every head of a loop that fits after each label would call it stable at once. Fewer labels than before,
    when some were taken back, are a difference too.
    """
    return since is None or abs(labeled - since) >= step


def signals(
    after: Predictions,
    *,
    labeled: int,
    head_version: int,
    before: Predictions | None = None,
    since: int | None = None,
) -> StoppingSignals:
    """Returns the signals of a head.

    Args:
        after: its predictions.
        labeled: labeled items it was fit on.
        head_version: its version.
        before: predictions of an earlier head for the same rows, its labels any; None when there is none to compare.
        since: labeled items that one was fit on.

    Raises:
        ValueError: the predictions are of different numbers of rows, or of none.
    """
    rows = len(after.classes)
    if not rows or (before is not None and len(before.classes) != rows):
        raise ValueError(
            f"predictions must be of the same rows, at least one, got {rows} and "
            f"{None if before is None else len(before.classes)}"
        )
    compared = None if before is None else (before.names(), after.names())
    return StoppingSignals(
        labeled=labeled,
        head_version=head_version,
        since=None if before is None else since,
        agreement=None if compared is None else agreement(*compared),
        change=None if compared is None else change(*compared),
        uncertainty=None if after.probs is None else uncertainty(after.probs),
        expected_error=None if after.probs is None else expected_error(after.probs),
    )


def stabilised(history: Sequence[StoppingSignals], *, threshold: float = THRESHOLD, window: int = WINDOW) -> bool:
    """Tells whether predictions have stabilised: the mean agreement of the last comparisons is at least a threshold.

    The rule of Bloodgood & Vijay-Shanker 2009, with their numbers. A lower threshold stops earlier.

    Args:
        history: signals, the oldest first, of heads that are `due`: steps of about equal size.
        threshold: at most 1.
        window: comparisons that count, at least 1.

    Returns:
        False while there are fewer comparisons.
    """
    recent = [found.agreement for found in history[-window:] if found.agreement is not None]
    return len(recent) == window and math.fsum(recent) / window >= threshold - _ROUNDING


def _hashes(rows: int) -> npt.NDArray[np.uint64]:
    """Returns SplitMix64 (Steele, Lea & Flood 2014) of 0 to rows - 1: a bijection, so no two are equal."""
    mixed = (np.arange(rows, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
