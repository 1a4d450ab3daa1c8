"""Stopping signals against scikit-learn and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.metrics import cohen_kappa_score

from services.selector.heads import LogisticHead, SvmHead
from services.selector.stopping import (
    Predictions,
    StoppingSignals,
    agreement,
    change,
    due,
    expected_error,
    signals,
    stabilised,
    stop_set,
    uncertainty,
)


def agreeing(*kappas: float | None) -> list[StoppingSignals]:
    return [
        StoppingSignals(
            labeled=50 * number,
            head_version=number,
            since=None,
            agreement=kappa,
            change=None,
            uncertainty=None,
            expected_error=None,
        )
        for number, kappa in enumerate(kappas, start=1)
    ]


def predicting(labels: tuple[str, ...], probs: Any) -> Predictions:
    found = np.array(probs, np.float64)
    return Predictions(labels, np.argmax(found, axis=1), found)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_agreement_is_cohens_kappa(pairs: list[tuple[int, int]]) -> None:
    before, after = np.array(pairs).T
    if len({*before, *after}) > 1:
        assert agreement(before, after) == pytest.approx(float(cohen_kappa_score(before, after)), abs=1e-12)
    assert change(before, after) == sum(a != b for a, b in pairs) / len(pairs)
    assert agreement(after, before) == pytest.approx(agreement(before, after), abs=1e-12)


def test_agreement_of_two_heads_that_predict_one_class_is_whole() -> None:
    assert agreement(np.zeros(5, np.int64), np.zeros(5, np.int64)) == 1.0


def test_agreement_of_opposite_constant_heads_is_that_of_chance() -> None:
    assert agreement(np.zeros(5, np.int64), np.ones(5, np.int64)) == 0.0


def test_agreement_by_hand() -> None:
    # They agree on 3 of 4; by chance on 1/2 · 1/4 + 1/2 · 3/4 = 1/2.
    assert agreement(np.array(["a", "a", "b", "b"]), np.array(["a", "b", "b", "b"])) == pytest.approx(0.5)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 150), st.integers(0, 1_000))
def test_uncertainty_is_mean_entropy_over_its_largest(classes: int, seed: int) -> None:
    probs = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), 20)
    assert uncertainty(probs) == pytest.approx(float(entropy(probs, base=classes, axis=1).mean()))
    assert expected_error(probs) == pytest.approx(float(np.mean([1 - max(row) for row in probs])))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3, 150])
def test_certain_and_clueless_heads_are_at_the_ends(classes: int, dtype: type) -> None:
    certain = np.eye(classes, dtype=dtype)
    assert uncertainty(certain) == 0.0
    assert expected_error(certain) == 0.0
    clueless = np.full((7, classes), 1 / classes, dtype)
    assert uncertainty(clueless) == pytest.approx(1.0)
    assert uncertainty(clueless) <= 1.0
    assert expected_error(clueless) == pytest.approx(1 - 1 / classes)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3_000), st.integers(0, 3_000), st.integers(1, 500))
def test_a_stop_set_is_distinct_rows_and_stays_nested_as_the_pool_grows(rows: int, more: int, size: int) -> None:
    before, after = stop_set(rows, size), stop_set(rows + more, size)
    assert len(before) == min(rows, size)
    assert (np.diff(before) > 0).all()
    assert not len(before) or (before[0] >= 0 and before[-1] < rows)
    # What is left of the old rows was in the set before, and only new rows took the place of others.
    assert set(after[after < rows]) <= set(before)
    assert len(before) < size or len(set(before) - set(after)) == int((after >= rows).sum())


def test_a_stop_set_is_spread_over_the_pool_and_over_its_periods() -> None:
    rows = stop_set(100_000, 5_000)
    # Binomial: 500 ± 5 · √450.
    assert np.abs(np.bincount(rows // 10_000, minlength=10) - 500).max() < 106
    assert np.abs(np.bincount(rows % 10, minlength=10) - 500).max() < 106


def test_a_stop_set_is_the_same_everywhere() -> None:
    # Written down: another one on another replica, or in a later version, would compare nothing.
    assert stop_set(1_000, 5).tolist() == [254, 366, 410, 503, 821]


def test_the_first_head_has_nothing_to_agree_with() -> None:
    found = signals(predicting(("a", "b"), [[0.5, 0.5], [1.0, 0.0]]), labeled=50, head_version=3)
    assert found == StoppingSignals(
        labeled=50,
        head_version=3,
        since=None,
        agreement=None,
        change=None,
        uncertainty=0.5,
        expected_error=0.25,
    )


def test_heads_that_have_seen_different_labels_are_compared_by_label() -> None:
    before = predicting(("a", "c"), [[0.9, 0.1], [0.2, 0.8], [0.2, 0.8], [0.7, 0.3]])
    after = predicting(("a", "b", "c"), [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
    found = signals(after, labeled=100, head_version=4, before=before, since=50)
    assert found.change == 0.25
    assert found.agreement == pytest.approx(float(cohen_kappa_score(list("acca"), list("accb"))))
    assert (found.labeled, found.since, found.head_version) == (100, 50, 4)


def test_a_head_without_probabilities_says_nothing_of_its_certainty() -> None:
    distances = Predictions(("a", "b"), np.array([0, 1]), None)
    found = signals(distances, labeled=50, head_version=2, before=distances, since=30)
    assert (found.uncertainty, found.expected_error) == (None, None)
    assert found.agreement == 1.0


def test_predictions_are_the_heads() -> None:
    head = LogisticHead(("a", "b"), np.array([[1.0, 0.0]], np.float32), np.zeros(1, np.float32))
    found = Predictions.of(head, np.array([[math.log(3), 5.0], [-math.log(3), 5.0]], np.float32))
    assert found.names().tolist() == ["b", "a"]
    assert found.probs is not None
    np.testing.assert_allclose(found.probs, [[0.25, 0.75], [0.75, 0.25]], rtol=1e-6)
    machine = Predictions.of(SvmHead(head.labels, head.weights, head.offsets), np.eye(2, dtype=np.float32))
    # What an SVM has in their place is not calibrated.
    assert machine.probs is None
    assert machine.names().tolist() == ["b", "a"]


@pytest.mark.parametrize("rows", [0, 2])
def test_predictions_of_other_rows_are_refused(rows: int) -> None:
    before, after = Predictions(("a", "b"), np.zeros(rows, np.int64), None), predicting(("a", "b"), [[1.0, 0.0]])
    with pytest.raises(ValueError, match=f"got 1 and {rows}"):
        signals(after, labeled=1, head_version=1, before=before, since=1)
    if not rows:
        with pytest.raises(ValueError, match="at least one"):
            signals(before, labeled=1, head_version=1)


@pytest.mark.parametrize(
    ("kappas", "expected"),
    [
        ((), False),
        ((None, 1.0, 1.0), False),
        ((None, 1.0, 1.0, 1.0), True),
        ((0.2, 0.99, 0.99, 0.99), True),
        # The mean counts, not each of them.
        ((0.97, 1.0, 1.0), True),
        ((0.96, 1.0, 1.0), False),
        # The newest count.
        ((1.0, 1.0, 1.0, 0.5), False),
        # A head that was compared with none breaks the row.
        ((1.0, 1.0, None, 1.0), False),
    ],
)
def test_stabilised_is_a_mean_agreement_of_the_last_three(kappas: tuple[float | None, ...], expected: bool) -> None:
    assert stabilised(agreeing(*kappas)) is expected


def test_threshold_and_window_can_be_chosen() -> None:
    assert stabilised(agreeing(0.5, 0.9), threshold=0.9, window=1)
    assert not stabilised(agreeing(0.5, 0.9), threshold=0.9, window=2)


def test_heads_a_few_labels_apart_are_not_compared() -> None:
    assert due(50, None)
    assert not due(69, 50)
    assert due(70, 50)
    assert due(30, 50)
    assert due(51, 50, step=1)
