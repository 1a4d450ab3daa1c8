"""Accuracy and macro-F1 are what scikit-learn says they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepal.simulation.metrics import accuracy, macro_f1
from sklearn.metrics import accuracy_score, f1_score

CLASSES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60)


@given(pairs=CLASSES)
def test_both_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    assert accuracy(true, predicted) == pytest.approx(accuracy_score(true, predicted))
    assert macro_f1(true, predicted) == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0))


@pytest.mark.parametrize("metric", [accuracy, macro_f1])
def test_shapes_that_do_not_fit_are_refused(metric: object) -> None:
    assert callable(metric)
    for true, predicted in ((np.zeros(2, int), np.zeros(3, int)), (np.zeros(0, int), np.zeros(0, int))):
        with pytest.raises(ValueError, match="must be of one shape"):
            metric(true, predicted)
