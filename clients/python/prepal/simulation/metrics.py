"""How good predictions are: accuracy and macro-F1 of class numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Classes = npt.NDArray[np.integer[Any]]


def accuracy(true: Classes, predicted: Classes) -> float:
    """Returns the share of items predicted right.

    Args:
        true: True classes, integers, shape (N,), N at least 1.
        predicted: Predicted classes, integers, shape (N,).

    Returns:
        0 to 1.

    Raises:
        ValueError: The shapes differ, or there are no items.
    """
    _check(true, predicted)
    return float(np.mean(true == predicted))


def macro_f1(true: Classes, predicted: Classes) -> float:
    """Returns the unweighted mean of F1 over the classes that occur, as truth or as prediction.

    F1 of a class is 2 TP / (2 TP + FP + FN); a class that is never predicted right has 0. This is scikit-learn's
    `f1_score(..., average="macro")`.

    Args:
        true: True classes, integers of at least 0, shape (N,), N at least 1.
        predicted: Predicted classes, integers of at least 0, shape (N,).

    Returns:
        0 to 1.

    Raises:
        ValueError: The shapes differ, or there are no items.
    """
    _check(true, predicted)
    classes = int(max(true.max(), predicted.max())) + 1
    right = np.bincount(true[true == predicted], minlength=classes)
    # TP + FN of a class and TP + FP of it: together its 2 TP + FP + FN.
    occurrences = np.bincount(true, minlength=classes) + np.bincount(predicted, minlength=classes)
    occurring = occurrences > 0
    return float(np.mean(2 * right[occurring] / occurrences[occurring]))


def _check(true: Classes, predicted: Classes) -> None:
    if true.ndim != 1 or true.shape != predicted.shape or true.size == 0:
        raise ValueError(
            f"true and predicted must be of one shape (N,), N >= 1, got {true.shape} and {predicted.shape}"
        )
