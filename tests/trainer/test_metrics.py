"""What predictions reached."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss

from services.trainer.metrics import Metrics, evaluate


@given(seed=st.integers(0, 2**32 - 1), items=st.integers(1, 40), labels=st.integers(2, 6))
def test_metrics_are_those_of_scikit_learn(seed: int, items: int, labels: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(items, labels)).astype(np.float32) * 3
    truths = random.integers(0, labels, items)
    metrics = evaluate(logits, truths)
    probabilities = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum(axis=1, keepdims=True)
    assert metrics.accuracy == pytest.approx(accuracy_score(truths, logits.argmax(axis=1)))
    assert metrics.macro_f1 == pytest.approx(f1_score(truths, logits.argmax(axis=1), average="macro"))
    assert metrics.loss == pytest.approx(log_loss(truths, probabilities, labels=range(labels)), rel=1e-5)
    assert metrics.items == items


def test_a_label_nobody_has_and_nobody_predicts_does_not_lower_the_f1() -> None:
    logits = np.array([[5, 0, -9], [0, 5, -9]], dtype=np.float32)
    assert evaluate(logits, np.array([0, 1])).macro_f1 == 1.0


def test_large_logits_give_a_finite_loss() -> None:
    logits = np.array([[1e4, -1e4]], dtype=np.float32)
    assert evaluate(logits, np.array([1])).loss == pytest.approx(2e4)


def test_metrics_survive_json() -> None:
    metrics = Metrics(accuracy=0.5, macro_f1=0.25, loss=1.5, items=4)
    assert Metrics.from_json(metrics.to_json()) == metrics
