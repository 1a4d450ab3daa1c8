"""Linear support vector machines against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from services.selector.heads import Evidence, PosteriorKind, Sampling, SvmFitter, SvmHead, SvmSettings
from tests.selector.heads.examples import Matrix, mean_squared_norm, names, overlapping, with_ones

DIMENSION = 10


def fit(
    classes: int, scale: float = 1.0, settings: SvmSettings | None = None
) -> tuple[SvmHead, Matrix, Matrix, LinearSVC]:
    """A head, its labels, and scikit-learn's own on embeddings of mean squared norm 1."""
    settings = settings or SvmSettings()
    embeddings, numbers = overlapping(200, DIMENSION, classes, scale=scale)
    numbers[numbers == 1] *= np.random.default_rng(5).integers(0, 2, int((numbers == 1).sum()))
    size = mean_squared_norm(embeddings)
    head = SvmFitter(settings).fit(with_ones(embeddings), numbers, names(classes), size)
    weight = "balanced" if settings.balanced else None
    oracle = LinearSVC(C=settings.inverse_regularization, class_weight=weight, dual=False, tol=1e-8, max_iter=10_000)
    return head, embeddings, numbers, oracle.fit(embeddings.astype(np.float64) / np.sqrt(size), numbers)


def outputs_of(head: SvmHead, embeddings: Matrix) -> Matrix:
    projection = head.projection
    return np.asfortranarray((embeddings @ projection.weights + projection.offsets).astype(np.float32))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(("c", "balanced"), [(1.0, False), (100.0, True)])
@pytest.mark.parametrize("scale", [0.05, 10.0])
def test_a_head_is_scikit_learns_on_embeddings_of_mean_squared_norm_1(
    classes: int, c: float, balanced: bool, scale: float
) -> None:
    settings = SvmSettings(inverse_regularization=c, balanced=balanced)
    head, embeddings, _, oracle = fit(classes, scale, settings)
    expected = oracle.decision_function(embeddings.astype(np.float64) / np.sqrt(mean_squared_norm(embeddings)))
    found = outputs_of(head, embeddings)
    np.testing.assert_allclose(found, expected.reshape(found.shape), atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("classes", [2, 4])
def test_decisions_are_distances_to_the_hyperplanes(classes: int) -> None:
    head, embeddings, _, _ = fit(classes, scale=3.0)
    decisions = head.decisions(outputs_of(head, embeddings))
    assert decisions.shape == (200, classes)
    if classes == 2:
        np.testing.assert_array_equal(decisions[:, 0], -decisions[:, 1])
    for number, (weights, offset) in enumerate(zip(head.weights, head.offsets, strict=True)):
        signed = decisions[:, number + 1 if classes == 2 else number]
        # Moved by its distance along the normal, an embedding lies in the hyperplane.
        normal = weights / np.linalg.norm(weights)
        feet = embeddings - signed[:, None] * normal
        np.testing.assert_allclose(feet @ weights + offset, 0, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_stand_in_for_probabilities_ranks_classes_as_the_distances_whatever_the_length(classes: int) -> None:
    found = []
    for scale in (0.05, 10.0):
        head, embeddings, _, _ = fit(classes, scale)
        outputs = outputs_of(head, embeddings)
        probs, decisions = head.probabilities(outputs), head.decisions(outputs)
        np.testing.assert_allclose(probs.sum(axis=1), 1)
        np.testing.assert_array_equal(probs.argsort(axis=1), decisions.argsort(axis=1))
        found.append(probs)
    # The pools are the same but for float16 rounding.
    np.testing.assert_allclose(found[0], found[1], atol=0.02)


def test_a_label_that_was_not_seen_is_not_of_the_head() -> None:
    embeddings, numbers = overlapping(60, DIMENSION, 2)
    head = SvmFitter(SvmSettings()).fit(with_ones(embeddings), 2 * numbers, names(4), mean_squared_norm(embeddings))
    assert head.labels == ("class 0", "class 2")
    assert head.weights.shape == (1, DIMENSION)
    with pytest.raises(ValueError, match="at least two"):
        SvmFitter(SvmSettings()).fit(with_ones(embeddings), numbers * 0, names(4), 1.0)


def test_a_fit_is_the_same_again() -> None:
    (first, *_), (again, *_) = fit(4), fit(4)
    np.testing.assert_array_equal(first.weights, again.weights)
    np.testing.assert_array_equal(first.offsets, again.offsets)


@pytest.mark.parametrize("embeddings", [np.ones((6, 8)), np.zeros((6, 8))])
def test_items_of_one_place_with_different_labels_give_finite_decisions(embeddings: Matrix) -> None:
    head = SvmFitter(SvmSettings()).fit(with_ones(embeddings), np.array([0, 1, 2, 0, 1, 2]), names(3), 1.0)
    outputs = outputs_of(head, embeddings.astype(np.float32))
    assert np.isfinite(head.decisions(outputs)).all()
    np.testing.assert_allclose(head.probabilities(outputs), 1 / 3, atol=1e-3)


def test_it_has_no_samples_and_no_penultimate_layer() -> None:
    head, embeddings, numbers, _ = fit(2)
    evidence = Evidence(embeddings=embeddings, classes=numbers, penalty=1.0, balanced=False)
    sampling = Sampling(samples=3, kind=PosteriorKind.DROPOUT, dropout=0.1)
    with pytest.raises(TypeError, match="no posterior"):
        head.posterior(sampling, lambda: evidence)
    assert head.penultimate(outputs_of(head, embeddings)) is None


@pytest.mark.filterwarnings("error")
def test_separable_labels_with_hardly_a_penalty_converge() -> None:
    head, embeddings, numbers, _ = fit(2, settings=SvmSettings(inverse_regularization=1e6))
    separable = (embeddings[:, 0] > np.median(embeddings[:, 0])).astype(np.int64)
    fitter = SvmFitter(SvmSettings(inverse_regularization=1e6))
    for classes in (numbers, separable):
        head = fitter.fit(with_ones(embeddings), classes, names(2), mean_squared_norm(embeddings))
        assert np.isfinite(head.weights).all()
    assert (head.decisions(outputs_of(head, embeddings)).argmax(axis=1) == separable).mean() > 0.99
