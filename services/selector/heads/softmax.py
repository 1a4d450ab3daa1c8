"""Logits to probabilities, class after class in memory: the reductions then run along the rows of a pool."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.selector.heads.head import Float32, Float64

# Numbers that are worked on at a time: they stay in a core's own cache.
_BLOCK: Final = 1 << 15


def two_class_probabilities(odds: Float64) -> Float64:
    """Returns (n, 2) from the log odds of the second class, (n,)."""
    probs = np.empty((len(odds), 2))
    # exp of a negative number only, so that nothing overflows.
    small = np.exp(-np.abs(odds))
    minor = small / (1.0 + small)
    second = odds > 0
    probs[:, 1] = np.where(second, 1.0 - minor, minor)
    probs[:, 0] = np.where(second, minor, 1.0 - minor)
    return probs


def softmax(logits: Float64) -> Float64:
    """Returns probabilities (n, C) from logits (n, C)."""
    exponentials = np.exp(logits - np.maximum.reduce(logits, axis=1, keepdims=True))
    probs: Float64 = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probs


def sampled_probabilities(logits_sjn: Float32, classes: int) -> Float32:
    """Returns samples of probabilities (S, n, C), a view of an array (S, C, n).

    Args:
        logits_sjn: shape (S, J, n), J = 1 for the log odds of the second of two classes, else C.
        classes: C.
    """
    samples, _, rows = logits_sjn.shape
    probs_scn = np.empty((samples, classes, rows), np.float32)
    one = logits_sjn.shape[1] == 1
    block = max(256, _BLOCK // classes)
    for logits_jn, probs_cn in zip(logits_sjn, probs_scn, strict=True):
        for first in range(0, rows, block):
            rest = slice(first, first + block)
            (_from_odds if one else _from_logits)(logits_jn[:, rest], probs_cn[:, rest])
    return probs_scn.transpose(0, 2, 1)


def _from_odds(odds_1n: Float32, probs_2n: Float32) -> None:
    odds = odds_1n[0]
    minor = np.abs(odds)
    np.negative(minor, out=minor)
    np.exp(minor, out=minor)
    minor /= 1.0 + minor
    major = 1.0 - minor
    np.copyto(probs_2n[0], minor)
    np.copyto(probs_2n[1], major)
    second = odds <= 0
    np.copyto(probs_2n[0], major, where=second)
    np.copyto(probs_2n[1], minor, where=second)


def _from_logits(logits_cn: Float32, probs_cn: Float32) -> None:
    np.subtract(logits_cn, np.maximum.reduce(logits_cn, axis=0), out=probs_cn)
    np.exp(probs_cn, out=probs_cn)
    probs_cn /= np.add.reduce(probs_cn, axis=0)
