"""The logistic head against scikit-learn's, and what it must hold from one fit to the next."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression

from services.selector.heads import (
    LogisticFitter,
    LogisticHead,
    LogisticSettings,
    TrainingSet,
)
from services.selector.heads import logistic as logistic_module
from services.selector.heads.loss import BinomialLoss, MultinomialLoss
from tests.selector.heads.examples import Matrix, mean_squared_norm, names, overlapping, with_ones

LABELS = names(4)


def fit(
    embeddings: Matrix,
    numbers: Matrix,
    settings: LogisticSettings | None = None,
    start: LogisticHead | None = None,
    fitter: LogisticFitter | None = None,
) -> LogisticHead:
    fitter = fitter or LogisticFitter(settings or LogisticSettings())
    return fitter.fit(with_ones(embeddings), numbers, LABELS, mean_squared_norm(embeddings), start)


def predicted(head: LogisticHead, embeddings: Matrix) -> npt.NDArray[np.float32]:
    projection = head.projection
    return head.probabilities((embeddings @ projection.weights + projection.offsets).astype(np.float32))


def oracle(embeddings: Matrix, numbers: Matrix, c: float, class_weight: str | None) -> LogisticRegression:
    """scikit-learn, converged tightly, on embeddings scaled to a mean squared norm of 1."""
    solver = "newton-cholesky" if len(np.unique(numbers)) == 2 else "lbfgs"
    model = LogisticRegression(C=c, class_weight=class_weight, solver=solver, tol=1e-10, max_iter=20_000)
    return model.fit(embeddings.astype(np.float64) / np.sqrt(mean_squared_norm(embeddings)), numbers)


@pytest.mark.parametrize(
    ("classes", "c", "balanced", "scale"),
    [
        (2, 10.0, False, 10.0),
        (2, 0.1, True, 0.05),
        (2, 1_000.0, True, 10.0),
        (3, 10.0, False, 0.05),
        (3, 0.1, False, 10.0),
        (4, 10.0, True, 10.0),
        (4, 100.0, False, 0.05),
    ],
)
def test_a_head_is_scikit_learns_on_embeddings_of_mean_squared_norm_1(
    classes: int, c: float, balanced: bool, scale: float
) -> None:
    embeddings, numbers = overlapping(300, 24, classes, scale=scale)
    numbers[numbers == 1] *= np.random.default_rng(5).integers(0, 2, int((numbers == 1).sum()))
    head = fit(embeddings, numbers, LogisticSettings(inverse_regularization=c, balanced=balanced))
    model = oracle(embeddings, numbers, c, "balanced" if balanced else None)
    others, _ = overlapping(500, 24, classes, seed=1, scale=scale)
    expected = model.predict_proba(others.astype(np.float64) / np.sqrt(mean_squared_norm(embeddings)))
    np.testing.assert_allclose(predicted(head, others), expected, atol=2e-5)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("rows", [8, 60, 400])
def test_a_warm_fit_is_the_cold_fit(classes: int, rows: int) -> None:
    embeddings, numbers = overlapping(rows, 48, classes)
    fitter, warm = LogisticFitter(LogisticSettings()), None
    for step in range(classes, rows + 1, max(1, rows // 20)):
        warm = fit(embeddings[:step], numbers[:step], None, warm, fitter)
    warm = fit(embeddings, numbers, None, warm, fitter)
    cold = fit(embeddings, numbers)
    others, _ = overlapping(1_000, 48, classes, seed=1)
    np.testing.assert_allclose(predicted(warm, others), predicted(cold, others), atol=1e-5)


def test_a_warm_fit_ranks_a_pool_as_a_tightly_converged_one() -> None:
    embeddings, numbers = overlapping(400, 48, 2)
    warm = fit(embeddings[:350], numbers[:350])
    warm = fit(embeddings, numbers, None, warm)
    model = oracle(embeddings, numbers, 10.0, None)
    others, _ = overlapping(20_000, 48, 2, seed=1)
    doubt = -np.abs(predicted(warm, others)[:, 1] - 0.5)
    expected = -np.abs(
        model.predict_proba(others.astype(np.float64) / np.sqrt(mean_squared_norm(embeddings)))[:, 1] - 0.5
    )
    top, wanted = np.argsort(-doubt)[:50], np.argsort(-expected)[:50]
    # One may differ where two items' probabilities are nearer than float32 tells apart.
    assert len(set(top.tolist()) & set(wanted.tolist())) >= 49


def test_a_label_that_was_not_seen_is_not_of_the_head_and_one_that_comes_later_is() -> None:
    embeddings, numbers = overlapping(200, 16, 4)
    two = np.isin(numbers, [1, 3])
    first = fit(embeddings[two], numbers[two])
    assert first.labels == ("class 1", "class 3")
    assert first.weights.shape == (1, 16)
    all_four = fit(embeddings, numbers, None, first)
    assert all_four.labels == LABELS
    again = fit(embeddings[two], numbers[two], None, all_four)
    np.testing.assert_allclose(predicted(again, embeddings), predicted(first, embeddings), atol=1e-5)
    cold = fit(embeddings, numbers)
    np.testing.assert_allclose(predicted(all_four, embeddings), predicted(cold, embeddings), atol=1e-5)
    np.testing.assert_allclose(all_four.offsets.mean(), 0, atol=1e-6)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        fit(np.ones((3, 2), np.float32), np.zeros(3, np.int64))


def test_items_of_one_place_with_different_labels_converge() -> None:
    embeddings = np.ones((6, 8), np.float32)
    head = fit(embeddings, np.array([0, 1, 0, 1, 0, 1]))
    np.testing.assert_allclose(predicted(head, embeddings), 0.5, atol=1e-6)


def test_separable_labels_with_hardly_a_penalty_converge() -> None:
    embeddings, numbers = overlapping(40, 64, 2)
    head = fit(embeddings, numbers, LogisticSettings(inverse_regularization=1e6))
    assert (predicted(head, embeddings).argmax(axis=1) == numbers).all()


def test_embeddings_beyond_the_preconditioner_are_fit_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, numbers = overlapping(120, 32, 3)
    usual = fit(embeddings, numbers)
    monkeypatch.setattr(logistic_module, "MAX_FEATURES", 8)
    plain = fit(embeddings, numbers)
    np.testing.assert_allclose(predicted(plain, embeddings), predicted(usual, embeddings), atol=1e-5)


@pytest.mark.parametrize("outputs", [500.0, -500.0, 0.0])
def test_probabilities_of_extreme_outputs_are_exact(outputs: float) -> None:
    for classes in (2, 3):
        columns = 1 if classes == 2 else 3
        head = LogisticHead(LABELS[:classes], np.zeros((columns, 2), np.float32), np.zeros(columns, np.float32))
        given = np.full((1, columns), 0.0, np.float32)
        given[0, -1] = outputs
        probs = head.probabilities(given)
        assert np.isfinite(probs).all()
        np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
        assert probs[0].argmax() == (classes - 1 if outputs > 0 else 0)


def test_the_losses_gradient_and_hessian_are_its_derivatives() -> None:
    generator = np.random.default_rng(0)
    weights = generator.uniform(0.5, 2, 7)
    for loss, outputs in (
        (BinomialLoss(generator.integers(0, 2, 7), weights), generator.standard_normal((7, 1))),
        (MultinomialLoss(generator.integers(0, 3, 7), weights, 3), generator.standard_normal((7, 3))),
    ):
        direction = generator.standard_normal(outputs.shape)
        step = 1e-4
        up, down = loss.at(outputs + step * direction), loss.at(outputs - step * direction)
        middle = loss.at(outputs)
        slope = float(np.sum(loss.gradient() * direction))
        curve = float(np.sum(loss.hessian_product(direction.astype(np.float32)) * direction))
        assert slope == pytest.approx((up - down) / (2 * step), rel=1e-4)
        assert curve == pytest.approx((up - 2 * middle + down) / step**2, rel=1e-3)


def test_a_training_set_follows_labels_as_they_come_change_and_go() -> None:
    generator = np.random.default_rng(0)
    pool = generator.standard_normal((300, 5)).astype(np.float16)
    training, model = TrainingSet(5), {}
    for _ in range(60):
        rows = generator.choice(300, 20, replace=False).tolist()
        gone, labeled = rows[:8], {row: int(generator.integers(0, 4)) for row in rows[8:]}
        training.without_class(gone)
        missing = training.reclassify(labeled)
        assert missing == [row for row in labeled if row not in model]
        training.add(missing, [labeled[row] for row in missing], pool[missing])
        for row in gone:
            model.pop(row, None)
        model.update(labeled)
        assert len(training) == len(model)
        found = sorted(
            (*row[:5].tolist(), number)
            for row, number in zip(training.features, training.classes.tolist(), strict=True)
        )
        assert found == sorted((*pool[row].astype(np.float32).tolist(), number) for row, number in model.items())
        assert (training.features[:, 5] == 1).all()


@pytest.mark.parametrize("c", [10.0, 1_000.0])
def test_embeddings_that_have_nearly_all_in_common_are_fit_as_far_as_float32_tells(
    c: float, caplog: pytest.LogCaptureFixture
) -> None:
    embeddings, numbers = overlapping(300, 48, 4)
    far, size = embeddings + np.float32(10), mean_squared_norm(embeddings + 10)
    settings = LogisticSettings(inverse_regularization=c)
    head = LogisticFitter(settings).fit(with_ones(far), numbers, LABELS, size)
    assert not caplog.records
    # Intercepts are free: where the embeddings lie changes nothing but the rounding.
    centred = far - far.mean(axis=0)
    near = LogisticFitter(settings).fit(with_ones(centred), numbers, LABELS, size)
    np.testing.assert_allclose(predicted(head, far), predicted(near, centred), atol=1e-5)
