"""How good predictions are: arrays in, numbers out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """What a model reached on its evaluation items.

    Attributes:
        accuracy: share of items predicted right, 0 to 1.
        macro_f1: unweighted mean of F1 over the labels that occur among the truths or the predictions, 0 to 1.
        loss: mean cross-entropy in nats.
        items: items evaluated.
    """

    accuracy: float
    macro_f1: float
    loss: float
    items: int

    def to_json(self) -> dict[str, Any]:
        """Returns the metrics as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Metrics:
        """Returns the metrics that `to_json` wrote."""
        return cls(accuracy=values["accuracy"], macro_f1=values["macro_f1"], loss=values["loss"], items=values["items"])


def evaluate(logits: NDArray[np.float32], truths: NDArray[np.int64]) -> Metrics:
    """Returns the metrics of `logits` (N, C) against `truths` (N,), column numbers; N at least 1.

    Ties go to the lower column. A label that neither occurs nor is predicted has no F1 and does not enter the mean, as
    in scikit-learn's `f1_score(average="macro")`.
    """
    predicted = logits.argmax(axis=1)
    present = np.union1d(truths, predicted)
    # One number for each label that is present.
    hits = np.array([np.sum((truths == c) & (predicted == c)) for c in present])
    said = np.array([np.sum(predicted == c) for c in present])
    true = np.array([np.sum(truths == c) for c in present])
    # F1 = 2 TP / (2 TP + FP + FN), and the denominator is what was said plus what is true.
    f1 = 2 * hits / (said + true)
    return Metrics(
        accuracy=float(np.mean(predicted == truths)),
        macro_f1=float(f1.mean()),
        loss=float(-log_softmax(logits)[np.arange(len(truths)), truths].mean()),
        items=len(truths),
    )


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns log-probabilities (N, C) in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
