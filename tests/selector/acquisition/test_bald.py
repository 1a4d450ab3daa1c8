import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.selector.acquisition.bald import BALD, bald
from services.selector.acquisition.parameters import Parameters
from services.selector.errors import NotFinite
from services.selector.scoring import Shelf
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("BALD",)


def entropy(probs):
    return -sum(p * math.log(p) for p in probs if p > 0)


def by_definition(probs_snc):
    """H(mean_s P_s) - mean_s H(P_s), one number after the other."""
    samples, rows, classes = probs_snc.shape
    return np.array(
        [
            entropy([math.fsum(probs_snc[:, n, c].tolist()) / samples for c in range(classes)])
            - math.fsum(entropy(probs_snc[s, n].tolist()) for s in range(samples)) / samples
            for n in range(rows)
        ]
    )


def dirichlet(samples, rows, classes, seed=0, concentration=0.5):
    return np.random.default_rng(seed).dirichlet(np.full(classes, concentration), (samples, rows))


def column_ordered(probs_snc):
    """The same numbers as a head gives them: (S, C, N) in memory."""
    return np.ascontiguousarray(probs_snc.transpose(0, 2, 1)).transpose(0, 2, 1)


@pytest.mark.parametrize(("samples", "rows", "classes"), [(5, 9, 4), (50, 3, 2), (3, 2, 150), (2, 1, 3)])
def test_it_is_the_entropy_of_the_mean_less_the_mean_entropy(samples, rows, classes):
    probs = dirichlet(samples, rows, classes)
    np.testing.assert_allclose(bald(probs), by_definition(probs), rtol=0, atol=1e-14)


def test_float32_samples_score_within_a_millionth():
    probs = dirichlet(50, 40, 4)
    np.testing.assert_allclose(bald(probs.astype(np.float32)), by_definition(probs), rtol=0, atol=1e-6)


def test_the_layout_in_memory_changes_nothing():
    probs = dirichlet(5, 70, 4).astype(np.float32)
    np.testing.assert_array_equal(bald(probs), bald(column_ordered(probs)))


def test_a_row_scores_the_same_wherever_it_stands():
    probs = column_ordered(dirichlet(3, 33_000, 2).astype(np.float32))
    order = np.random.default_rng(1).permutation(33_000)
    scores = bald(probs)
    np.testing.assert_array_equal(bald(column_ordered(probs[:, order])), scores[order])
    np.testing.assert_allclose(scores[-5:], by_definition(probs[:, -5:].astype(np.float64)), rtol=0, atol=1e-12)


def test_certain_samples_that_disagree_tell_most_and_those_that_agree_nothing():
    certain = np.eye(3)
    probs = np.stack([certain, certain[[0, 0, 0]], np.full((3, 3), 1 / 3)], axis=1)
    scores = bald(probs)
    assert scores[0] == pytest.approx(math.log(3), abs=1e-15)
    np.testing.assert_allclose(scores[1:], 0, atol=1e-15)


@given(st.integers(1, 6), st.integers(1, 5), st.sampled_from([2, 3, 150]), st.floats(1e-3, 10), st.integers(0, 1 << 30))
@settings(max_examples=40, deadline=None)
def test_it_lies_between_0_and_log_c(samples, rows, classes, concentration, seed):
    # Small concentrations give probabilities of exactly 0 and 1.
    probs = dirichlet(samples, rows, classes, seed, concentration).astype(np.float32)
    scores = bald(probs)
    assert ((scores >= 0) & (scores <= math.log(classes))).all()
    np.testing.assert_allclose(scores, by_definition(probs.astype(np.float64)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 7, 150])
def test_one_sample_tells_exactly_nothing(classes):
    np.testing.assert_array_equal(bald(dirichlet(1, 50, classes).astype(np.float32)), 0)


def test_samples_that_nearly_agree_still_have_an_order():
    # I = δ² / (2 p (1 - p)) for p ± δ, far below the rounding of either entropy in float32.
    deltas = np.array([1e-5, 2e-5, 3e-5], np.float32)
    first = np.float32(0.5) + np.stack([deltas, -deltas])
    scores = bald(np.stack([first, 1 - first], axis=2))
    np.testing.assert_allclose(scores, 2 * deltas.astype(np.float64) ** 2, rtol=0.05)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 20_000])
def test_what_is_not_finite_is_refused_and_named(value, row):
    probs = np.full((3, 20_001, 2), 0.5, np.float32)
    probs[1, row, 1] = value
    with pytest.raises(NotFinite) as refused:
        bald(probs)
    assert refused.value.row == row


def test_no_rows_have_no_scores():
    assert bald(np.empty((3, 0, 2))).shape == (0,)


@pytest.mark.parametrize("classes", [2, 4])
def test_it_scores_a_pool_by_samples_of_the_head(classes):
    embeddings, numbers = clustered(3_000, 16, classes, spread=2.0)
    labeled = np.arange(60)
    view = view_of(embeddings, head=fitted(embeddings, labeled, numbers[labeled]), labeled=labeled)
    scores = view.scores(BALD, Parameters())
    probs = view.sampled_probabilities(np.arange(3_000), Parameters())
    assert len(probs) == 50
    np.testing.assert_allclose(scores, by_definition(probs.astype(np.float64)), rtol=0, atol=1e-6)
    assert scores.max() > 1e-3


def test_equal_embeddings_score_equally():
    embeddings, numbers = clustered(2_500, 8, 2)
    head = fitted(embeddings, np.arange(40), numbers[:40])
    for value in (0.0, 0.25):
        scores = view_of(np.full((2_500, 8), value), head=head).scores(BALD, Parameters())
        np.testing.assert_array_equal(scores, scores[0])


def test_a_pool_that_grew_scores_what_it_scores_from_the_start():
    embeddings, numbers = clustered(4_000, 16, 3)
    head, shelf = fitted(embeddings, np.arange(40), numbers[:40]), Shelf(1 << 26)
    before = view_of(embeddings[:2_500], head=head, shelf=shelf).scores(BALD, Parameters()).copy()
    after = view_of(embeddings, head=head, shelf=shelf).scores(BALD, Parameters())
    np.testing.assert_array_equal(after[:2_500], before)
    np.testing.assert_array_equal(after, view_of(embeddings, head=head).scores(BALD, Parameters()))


def test_parameters_reach_the_posterior():
    embeddings, numbers = clustered(200, 8, 2)
    view = view_of(embeddings, head=fitted(embeddings, np.arange(40), numbers[:40]))
    np.testing.assert_array_equal(view.scores(BALD, Parameters(samples=1)), 0)
    mild, strong = (view.scores(BALD, Parameters(dropout=rate)) for rate in (0.01, 0.5))
    assert mild.mean() < strong.mean() / 4
