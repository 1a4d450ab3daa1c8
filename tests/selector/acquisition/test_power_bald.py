import itertools
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from services.selector.acquisition.bald import BALD
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.power_bald import POWER_BALD, keys
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("POWER_BALD",)

SCORES = np.array([0.05, 0.3, 0.1, 0.6, 0.2])


def orders(scores, beta, draws, seed=0):
    """The rows in the order of the draws, once for each of many draws."""
    generator = np.random.default_rng(seed)
    return [np.argsort(-keys(scores, beta, generator)) for _ in range(draws)]


def as_likely_as(found, expected):
    """The p-value of counts, given their probabilities."""
    counts = np.array([found[outcome] for outcome in expected])
    assert counts.sum() == found.total()
    return chisquare(counts, counts.sum() * np.array(list(expected.values()))).pvalue


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_the_first_pick_is_as_likely_as_its_score_to_the_power_of_beta(beta):
    weights = SCORES**beta
    found = Counter(int(order[0]) for order in orders(SCORES, beta, 4_000))
    assert as_likely_as(found, dict(enumerate(weights / weights.sum()))) > 0.01


def test_another_exponent_would_have_been_noticed():
    weights = SCORES**1.2
    found = Counter(int(order[0]) for order in orders(SCORES, 1.0, 4_000))
    assert as_likely_as(found, dict(enumerate(weights / weights.sum()))) < 1e-3


def test_further_picks_are_drawn_from_what_is_left():
    p = SCORES / SCORES.sum()
    expected = {(a, b): p[a] * p[b] / (1 - p[a]) for a, b in itertools.permutations(range(5), 2)}
    found = Counter((int(order[0]), int(order[1])) for order in orders(SCORES, 1.0, 6_000))
    assert as_likely_as(found, expected) > 0.01


def test_beta_0_is_uniform_over_all_rows_those_without_a_score_too():
    found = Counter(tuple(order.tolist()) for order in orders(np.array([0.0, 1.0, 1e-9]), 0.0, 3_000))
    assert as_likely_as(found, dict.fromkeys(itertools.permutations(range(3)), 1 / 6)) > 0.01


@pytest.mark.parametrize("beta", [1e-12, 1.0, 1_000.0])
def test_rows_without_a_score_come_last_in_uniform_order(beta):
    scores = np.array([0.0, 5e-324, 0.0, 0.7, 0.0])
    found = orders(scores, beta, 1_500)
    assert all({int(row) for row in order[:2]} == {1, 3} for order in found)
    last = Counter(tuple(order[2:].tolist()) for order in found)
    assert as_likely_as(last, dict.fromkeys(itertools.permutations((0, 2, 4)), 1 / 6)) > 0.01


def test_a_large_beta_is_the_order_of_the_scores():
    scores = np.random.default_rng(0).permutation(1.05 ** -np.arange(200.0))
    drawn = keys(scores, 1_000.0, np.random.default_rng(1))
    np.testing.assert_array_equal(np.argsort(-drawn), np.argsort(-scores))


@pytest.mark.parametrize("beta", [0.0, 1e-300, 1.0, 1_000.0])
def test_keys_are_finite(beta):
    scores = np.concatenate([[0.0, 5e-324, 1e-300, 1.0], np.full(5_000, 0.3)])
    assert np.isfinite(keys(scores, beta, np.random.default_rng(0))).all()


def test_rows_that_came_later_change_no_draw_of_those_that_were_there():
    scores = np.random.default_rng(0).random(1_000)
    np.testing.assert_array_equal(
        keys(scores, 1.0, np.random.default_rng(7))[:600], keys(scores[:600], 1.0, np.random.default_rng(7))
    )


def pool(rows=400, **view):
    embeddings, numbers = clustered(rows, 12, 3, spread=2.0)
    return view_of(embeddings, head=fitted(embeddings, np.arange(40), numbers[:40]), labeled=np.arange(40), **view)


def pick(view, k, seed=0, **parameters):
    return POWER_BALD.pick(view, k, Parameters(**parameters), np.random.default_rng(seed))


def test_picks_are_free_rows_with_their_bald_scores_and_the_first_of_more():
    view = pool()
    picks = pick(view, 360)
    assert sorted(picks.rows.tolist()) == list(range(40, 400))
    np.testing.assert_array_equal(picks.scores, view.scores(BALD, Parameters())[picks.rows])
    np.testing.assert_array_equal(pick(view, 17).rows, picks.rows[:17])
    np.testing.assert_array_equal(pick(view, 500).rows, picks.rows)


def test_high_scores_are_picked_more_often_as_beta_grows():
    view = pool()
    means = [pick(view, 40, beta=beta).scores.mean() for beta in (0.0, 1.0, 4.0, 1_000.0)]
    assert means == sorted(means)
    best = np.sort(view.scores(BALD, Parameters())[40:])[::-1][:40]
    assert means[0] < 0.7 * best.mean()
    np.testing.assert_allclose(means[-1], best.mean(), rtol=1e-3)


def test_the_seed_decides():
    view = pool()
    np.testing.assert_array_equal(pick(view, 20, seed=3).rows, pick(view, 20, seed=3).rows)
    assert pick(view, 20, seed=3).rows.tolist() != pick(view, 20, seed=4).rows.tolist()


def test_one_sample_tells_nothing_and_picks_uniformly():
    view = pool(45)
    found = Counter(int(pick(view, 1, seed=seed, samples=1).rows[0]) for seed in range(300))
    assert as_likely_as(found, dict.fromkeys(range(40, 45), 1 / 5)) > 0.01
