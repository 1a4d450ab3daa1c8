import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.selector.acquisition import batch_bald as module
from services.selector.acquisition.bald import BALD, bald
from services.selector.acquisition.batch_bald import BATCH_BALD, batch_bald
from services.selector.acquisition.configurations import Configurations
from services.selector.acquisition.parameters import Parameters
from tests.selector.acquisition.views import clustered, fitted, view_of

DEFINES = ("BATCH_BALD",)

LARGE = 1_000_000


def information(probs_snc):
    """I(y_1 … y_n; ω) from the definition: every configuration of the classes of all n items, one after the other."""
    samples, items, classes = probs_snc.shape
    joint = 0.0
    for configuration in itertools.product(range(classes), repeat=items):
        p = probs_snc[:, np.arange(items), configuration].prod(axis=1).sum() / samples
        joint -= p * math.log(p) if p > 0 else 0.0
    each = probs_snc[probs_snc > 0]
    return joint + (each * np.log(each)).sum() / samples


def by_definition(probs_snc, k):
    """Greedy picks and their gains, every candidate's information enumerated at every pick.

    Ends before a pick that is not clearly the best: two implementations may differ from there on.
    """
    rows, gains, known = [], [], 0.0
    for _ in range(k):
        found = [
            -math.inf if row in rows else information(probs_snc[:, [*rows, row]]) - known
            for row in range(probs_snc.shape[1])
        ]
        if len(rows) + 1 < len(found) and np.diff(np.sort(found)[-2:]) < 1e-5:
            break
        rows.append(int(np.argmax(found)))
        gains.append(max(found))
        known += gains[-1]
    return rows, gains


def pick(probs_snc, k, configurations=LARGE, free=None, seed=0, asked=None):
    """Runs it on samples in memory; `asked` collects the rows it asked for."""

    def probabilities(rows):
        if asked is not None:
            asked.extend(rows.tolist())
        return probs_snc[:, rows]

    flags = np.ones(probs_snc.shape[1], np.bool_) if free is None else free
    return batch_bald(probabilities, bald(probs_snc), flags, k, configurations, np.random.default_rng(seed))


def dirichlet(samples, rows, classes, seed=0, concentration=0.5):
    return np.random.default_rng(seed).dirichlet(np.full(classes, concentration), (samples, rows))


def correlated(samples, rows, classes, seed=0, dimension=16):
    """Samples as a linear head gives them: some directions are uncertain, and items near each other alike."""
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((dimension, classes))
    logits = generator.standard_normal((rows, dimension)) @ (
        weights + 0.4 * generator.standard_normal((samples, dimension, classes))
    )
    exponentials = np.exp(logits - logits.max(axis=2, keepdims=True))
    return exponentials / exponentials.sum(axis=2, keepdims=True)


@pytest.mark.parametrize(
    ("samples", "rows", "classes", "k", "concentration"),
    [(5, 9, 2, 6, 0.5), (20, 8, 3, 4, 1.0), (4, 10, 4, 4, 0.1), (6, 5, 3, 5, 0.02), (3, 6, 5, 3, 5.0)],
)
def test_picks_and_gains_are_those_of_enumeration(samples, rows, classes, k, concentration):
    compared = 0
    for seed in range(3):
        probs = dirichlet(samples, rows, classes, seed, concentration)
        expected, gains = by_definition(probs, k)
        picks = pick(probs, k)
        assert picks.rows[: len(expected)].tolist() == expected
        np.testing.assert_allclose(picks.scores[: len(gains)], gains, rtol=0, atol=2e-6)
        assert picks.scores.sum() == pytest.approx(information(probs[:, picks.rows]), abs=1e-5)
        compared += len(expected)
    assert compared >= 2 * k


@pytest.mark.parametrize("seed", range(3))
def test_candidates_that_the_bound_leaves_out_would_not_have_been_picked(seed):
    probs = correlated(20, 400, 3, seed)
    asked: list[int] = []
    picks = pick(probs, 6, asked=asked)
    known, free = Configurations.of_nothing(20), np.ones(400, np.bool_)
    mean_entropy = -(probs * np.log(probs)).sum(axis=2).mean(axis=0)
    for row, gain in zip(picks.rows, picks.scores, strict=True):
        gains = np.where(free, known.conditional_entropies(probs) - mean_entropy, -1)
        assert row == np.argmax(gains)
        assert gain == pytest.approx(gains[row], abs=1e-6)
        free[row] = False
        known = known.extended(probs[:, row], LARGE, np.random.default_rng(0))
    assert len(asked) == len(set(asked)), "probabilities are asked for once"
    assert len(asked) < 300, "the bound leaves candidates out"


def test_candidates_that_added_little_before_are_not_evaluated_again(monkeypatch):
    probs = correlated(20, 400, 3)
    copies = np.repeat(probs[:, [int(np.argmax(bald(probs)))]], 500, axis=1)
    evaluated, gains = [], module._Candidates._gains

    def counted(self, places, probs_snc, known):
        evaluated.append(len(places))
        return gains(self, places, probs_snc, known)

    monkeypatch.setattr(module._Candidates, "_gains", counted)
    pick(np.concatenate([copies, probs], axis=1), 2)
    assert sum(evaluated) > 500, "all copies have the highest bound until they are evaluated"
    evaluated.clear()
    pick(np.concatenate([copies, probs], axis=1), 5)
    assert sum(evaluated) < 2 * 500


@pytest.mark.parametrize("configurations", [LARGE, 400])
def test_bounds_by_groups_of_configurations_change_no_pick_and_spare_most_evaluations(monkeypatch, configurations):
    probs = dirichlet(20, 500, 3)
    evaluated, gains = [], module._Candidates._gains

    def counted(self, places, probs_snc, known):
        evaluated.append(len(places) * len(known.weights))
        return gains(self, places, probs_snc, known)

    monkeypatch.setattr(module._Candidates, "_gains", counted)
    expected, work = pick(probs, 7, configurations), sum(evaluated)
    evaluated.clear()
    # All but one candidate meet the bound by groups first.
    monkeypatch.setattr(module, "_FIRST_BLOCK", 1)
    for groups, from_times, spared in ((64, 4, 0.3), (20, 1, 0.0)):
        evaluated.clear()
        monkeypatch.setattr(module, "_GROUPS", groups)
        monkeypatch.setattr(module, "_WORTH_MERGING", from_times)
        picks = pick(probs, 7, configurations)
        np.testing.assert_array_equal(picks.rows, expected.rows)
        np.testing.assert_allclose(picks.scores, expected.scores, atol=1e-6)
        assert not spared or sum(evaluated) < (1 - spared) * work


def test_the_first_pick_is_that_of_bald_and_asks_for_no_other_row():
    probs, asked = dirichlet(10, 500, 4), []
    picks = pick(probs, 1, asked=asked)
    assert picks.rows.tolist() == [int(np.argmax(bald(probs)))] == asked
    assert picks.scores.tolist() == [bald(probs).max()]


@given(st.integers(1, 8), st.integers(2, 12), st.integers(2, 4), st.floats(0.02, 5), st.integers(0, 1 << 30))
@settings(max_examples=25, deadline=None)
def test_gains_do_not_increase_and_sum_to_no_more_than_there_is_to_know(samples, rows, classes, concentration, seed):
    probs = dirichlet(samples, rows, classes, seed, concentration).astype(np.float32)
    picks = pick(probs, rows, configurations=5_000)
    assert sorted(picks.rows.tolist()) == list(range(rows))
    assert (picks.scores >= 0).all()
    assert (picks.scores <= bald(probs)[picks.rows] + 1e-12).all()
    if classes ** (rows - 1) <= 5_000:
        assert (np.diff(picks.scores) <= 2e-6).all()
        assert picks.scores.sum() <= math.log(samples) + 1e-5


def test_a_second_copy_adds_less_than_its_own_score_and_another_item_comes_first():
    probs = correlated(30, 60, 3)
    scores = bald(probs)
    best, second = np.argsort(-scores)[:2]
    twice = np.concatenate([probs[:, [best, best]], probs[:, [second]]], axis=1)
    picks = pick(twice, 3)
    assert picks.scores[1:].sum() < scores[best] + scores[second] - 1e-3
    np.testing.assert_allclose(picks.scores.sum(), information(twice), atol=2e-6)
    # Halves of two independent samples: the copy adds nothing, as what it tells is known.
    certain = np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 1, 0, 1]]
    picks = pick(np.stack([certain[0], certain[0], certain[0], certain[1]], axis=1), 4)
    assert picks.rows.tolist() == [0, 3, 1, 2]
    np.testing.assert_allclose(picks.scores, [math.log(2), math.log(2), 0, 0], atol=2e-6)


def test_equal_candidates_go_by_row():
    one = dirichlet(6, 1, 3)
    assert pick(np.repeat(one, 80, axis=1), 5).rows.tolist() == [0, 1, 2, 3, 4]


def test_one_sample_has_nothing_to_tell():
    picks = pick(dirichlet(1, 700, 3), 5)
    assert picks.rows.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(picks.scores, 0)


def test_samples_that_all_agree_have_nothing_to_tell_and_the_order_is_that_of_bald():
    probs = np.repeat(dirichlet(1, 300, 3), 10, axis=0)
    free = np.ones(300, np.bool_)
    free[::2] = False
    picks = pick(probs, 200, free=free)
    scores = bald(probs)
    rows = np.flatnonzero(free)
    np.testing.assert_array_equal(picks.rows, rows[np.argsort(-scores[rows], kind="stable")])
    np.testing.assert_allclose(picks.scores, 0, atol=1e-12)


@pytest.mark.parametrize(("k", "count"), [(0, 0), (1, 1), (5, 5), (50, 12)])
def test_only_free_rows_are_picked_as_many_as_there_are(k, count):
    probs, free = dirichlet(8, 40, 3), np.zeros(40, np.bool_)
    free[3:15] = True
    picks = pick(probs, k, configurations=300, free=free)
    assert len(set(picks.rows.tolist())) == len(picks.rows) == len(picks.scores) == count
    assert free[picks.rows].all()
    assert len(pick(probs, 3, free=np.zeros(40, np.bool_)).rows) == 0


def test_many_classes_are_sampled_within_the_limit():
    probs = correlated(10, 50, 150)
    picks = pick(probs, 4, configurations=400)
    assert len(set(picks.rows.tolist())) == 4
    expected, gains = by_definition(probs[:, :4], 2)
    exact = pick(probs[:, :4], 2, configurations=150)
    assert exact.rows.tolist() == expected
    np.testing.assert_allclose(exact.scores, gains, atol=2e-6)
    assert picks.scores[0] == bald(probs).max()


def test_the_order_of_rows_does_not_matter():
    probs = correlated(20, 200, 3)
    order = np.random.default_rng(0).permutation(200)
    for configurations in (LARGE, 100):
        picks, other = pick(probs, 6, configurations), pick(probs[:, order], 6, configurations)
        np.testing.assert_array_equal(order[other.rows], picks.rows)
        np.testing.assert_allclose(other.scores, picks.scores, atol=1e-6)


def test_the_generator_is_used_only_once_configurations_are_sampled():
    probs, generator = dirichlet(3, 30, 3), np.random.default_rng(0)
    before = generator.bit_generator.state
    batch_bald(lambda rows: probs[:, rows], bald(probs), np.ones(30, np.bool_), 5, 81, generator)
    assert generator.bit_generator.state == before
    batch_bald(lambda rows: probs[:, rows], bald(probs), np.ones(30, np.bool_), 5, 80, generator)
    assert generator.bit_generator.state != before
    first, again = (pick(probs, 8, configurations=50, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.rows, again.rows)
    np.testing.assert_array_equal(first.scores, again.scores)


def test_probabilities_beyond_what_is_kept_are_asked_for_again(monkeypatch):
    probs = dirichlet(8, 300, 3)
    asked: list[int] = []
    expected = pick(probs, 6, asked=asked)
    assert len(asked) == len(set(asked))
    monkeypatch.setattr(module, "_KEPT_BYTES", 40 * 8 * 3 * 8)
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 8 * 3 * 7)
    again: list[int] = []
    picks = pick(probs, 6, asked=again)
    np.testing.assert_array_equal(picks.rows, expected.rows)
    np.testing.assert_allclose(picks.scores, expected.scores, atol=1e-6)
    assert len(again) > len(set(again))


def extended(probs_snc, limit, generator):
    known = Configurations.of_nothing(len(probs_snc))
    for probs_sc in probs_snc.transpose(1, 0, 2):
        known = known.extended(probs_sc, limit, generator)
    return known


def test_enumerated_configurations_have_their_probabilities():
    probs = dirichlet(4, 3, 3)
    known = extended(probs, 27, np.random.default_rng(0))
    joint = np.stack([probs[:, [0, 1, 2], c].prod(axis=1) / 4 for c in itertools.product(range(3), repeat=3)])
    np.testing.assert_allclose(known.weights, joint.sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(known.posteriors, joint / joint.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-7)


def test_impossible_configurations_take_no_room():
    certain = np.eye(4)[np.random.default_rng(0).integers(0, 4, (5, 9))]
    known = extended(certain, 5, np.random.default_rng(0))
    assert len(known.weights) <= 5
    np.testing.assert_allclose(known.weights * 5, np.round(known.weights * 5), atol=1e-6)


def test_sampled_configurations_are_right_on_average_and_close_each_time():
    probs, candidates = correlated(20, 7, 3), correlated(20, 5, 3, seed=1)
    probs = probs * 0.7 + 0.1
    exact = extended(probs, 3**7, np.random.default_rng(0)).conditional_entropies(candidates)
    found = []
    for seed in range(60):
        known = extended(probs, 200, np.random.default_rng(seed))
        assert len(known.weights) == 200
        assert known.weights.min() > 0
        assert known.weights.sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_allclose(known.posteriors.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(known.weights @ known.posteriors, 1 / 20, atol=1e-5)
        found.append(known.conditional_entropies(candidates))
    errors = np.array(found) - exact
    deviations = errors.std(axis=0)
    assert (deviations < 0.003).all(), "200 of 2,187 configurations, entropies about 1"
    assert (abs(errors.mean(axis=0)) < 5 * deviations / math.sqrt(60)).all()
    assert (deviations > 1e-5).all(), "they are sampled at all"


def test_sampling_does_not_add_up_over_many_items():
    # 60 items tell a hundred times over which of 10 samples it is: what is left is each sample's own doubt.
    probs, candidates = dirichlet(10, 60, 3), dirichlet(10, 8, 3, seed=1)
    each = -(candidates * np.log(candidates)).sum(axis=2).mean(axis=0)
    for seed in range(3):
        known = extended(probs, 200, np.random.default_rng(seed))
        np.testing.assert_allclose(known.conditional_entropies(candidates), each, atol=1e-3)


def test_estimates_lie_between_what_is_left_when_the_sample_is_known_and_when_nothing_is():
    probs, candidates = correlated(10, 12, 3), correlated(10, 200, 3, seed=1)
    least = -(candidates * np.log(candidates)).sum(axis=2).mean(axis=0)
    most = Configurations.of_nothing(10).conditional_entropies(candidates)
    for seed in range(5):
        found = extended(probs, 200, np.random.default_rng(seed)).conditional_entropies(candidates)
        assert (found > least - 1e-6).all()
        assert (found < most + 1e-6).all()


def test_few_configurations_are_raised_to_some_for_each_sample():
    probs = correlated(10, 100, 3)
    few, some = (pick(probs, 12, configurations=count) for count in (1, 200))
    np.testing.assert_array_equal(few.rows, some.rows)
    np.testing.assert_array_equal(few.scores, some.scores)


@pytest.mark.parametrize("groups", [1, 7, 50])
def test_groups_of_configurations_tell_less_and_many_groups_nearly_as_much(groups):
    probs, candidates = correlated(10, 6, 3), correlated(10, 30, 3, seed=1)
    known = extended(probs, 3**6, np.random.default_rng(0))
    merged = known.merged(groups)
    assert 1 <= len(merged.weights) <= groups
    assert merged.weights.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(merged.weights @ merged.posteriors, 1 / 10, atol=1e-5)
    exact, rough = known.conditional_entropies(candidates), merged.conditional_entropies(candidates)
    assert (rough > exact - 1e-6).all()
    nothing = Configurations.of_nothing(10).conditional_entropies(candidates)
    told = ((nothing - rough) / (nothing - exact)).mean()
    assert {1: told < 1e-3, 7: 0.05 < told < 0.99, 50: told > 0.8}[groups], told


def test_likely_configurations_are_kept_as_they_are():
    probs = np.full((6, 6, 3), 0.03)
    probs[..., 0] = 0.94
    known = extended(probs, 50, np.random.default_rng(0))
    assert known.weights.max() == pytest.approx(0.94**6, rel=1e-5)
    assert np.count_nonzero(abs(known.weights - 0.94**5 * 0.03) < 1e-6) == 12


def test_a_long_chain_of_configurations_stays_finite():
    known = extended(dirichlet(5, 300, 3, concentration=0.05).astype(np.float32), 60, np.random.default_rng(0))
    assert len(known.weights) <= 60
    assert np.isfinite(known.posteriors).all()
    assert known.weights.sum() == pytest.approx(1, abs=1e-12)


def test_it_picks_from_a_pool_by_samples_of_the_head():
    embeddings, numbers = clustered(2_000, 16, 3, spread=2.0)
    labeled = np.arange(50)
    view = view_of(embeddings, head=fitted(embeddings, labeled, numbers[labeled]), labeled=labeled)
    parameters = Parameters(samples=20, configurations=3**4)
    picks = BATCH_BALD.pick(view, 5, parameters, np.random.default_rng(0))
    assert picks.rows[0] == 50 + np.argmax(view.scores(BALD, parameters)[50:])
    probs = view.sampled_probabilities(picks.rows, parameters).astype(np.float64)
    for n in range(1, 6):
        assert picks.scores[:n].sum() == pytest.approx(information(probs[:, :n]), abs=1e-5)
    assert len(set(picks.rows.tolist())) == 5
    assert (picks.rows >= 50).all()
    # No other row would have added more to the first pick.
    first = probs[:, :1]
    others = view.sampled_probabilities(np.arange(50, 2_000, 13), parameters).astype(np.float64)
    for at in range(others.shape[1]):
        pair = information(np.concatenate([first, others[:, at : at + 1]], axis=1))
        assert pair <= picks.scores[:2].sum() + 1e-5
