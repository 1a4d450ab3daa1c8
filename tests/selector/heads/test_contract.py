"""What holds of every kind of head: abilities, shapes, and the way to bytes and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from services.selector.heads import (
    Ability,
    Curvature,
    Evidence,
    Head,
    HeadSettings,
    LogisticSettings,
    McDropoutSettings,
    PosteriorKind,
    Sampling,
    SvmSettings,
    fitter_for,
    head_from_bytes,
    head_to_bytes,
)
from tests.selector.heads.examples import Matrix, mean_squared_norm, names, overlapping, with_ones

# As the selector has it: its threads are its own, and torch's would wait for one another.
torch.set_num_threads(1)

DIMENSION = 9
SETTINGS: list[HeadSettings] = [
    LogisticSettings(),
    SvmSettings(),
    McDropoutSettings(max_epochs=8),
    McDropoutSettings(max_epochs=8, hidden=(7,)),
    McDropoutSettings(max_epochs=8, hidden=(7, 5, 3)),
]
KINDS = ["logistic", "svm", "network without hidden layers", "network", "deep network"]


@pytest.fixture(params=SETTINGS, ids=KINDS)
def settings(request: pytest.FixtureRequest) -> HeadSettings:
    return request.param


@pytest.fixture(params=[2, 5])
def classes(request: pytest.FixtureRequest) -> int:
    return request.param


def fit(settings: HeadSettings, classes: int) -> tuple[Head, Matrix, Evidence]:
    embeddings, numbers = overlapping(80, DIMENSION, classes)
    size = mean_squared_norm(embeddings)
    labels = tuple(f"{name} ☂" for name in names(classes))
    head = fitter_for(settings).fit(with_ones(embeddings), numbers, labels, size)
    return head, embeddings, Evidence(embeddings=embeddings, classes=numbers, penalty=size / 10, balanced=False)


def outputs_of(projection: Any, embeddings: Matrix) -> Matrix:
    return np.asfortranarray((embeddings @ projection.weights + projection.offsets).astype(np.float32))


def test_a_head_can_do_what_its_abilities_and_its_settings_say(settings: HeadSettings, classes: int) -> None:
    head, embeddings, evidence = fit(settings, classes)
    assert head.abilities == settings.abilities
    assert head.kind == settings.kind
    sampling = Sampling(samples=3, kind=PosteriorKind.DROPOUT, dropout=0.1)
    if Ability.SAMPLES in head.abilities:
        posterior = head.posterior(sampling, lambda: evidence)
        probs = posterior.probabilities(outputs_of(posterior.projection, embeddings))
        assert (probs.shape, probs.dtype) == ((3, 80, classes), np.float32)
        np.testing.assert_allclose(probs.sum(axis=2), 1, atol=1e-6)
        assert ((probs >= 0) & (probs <= 1)).all()
    else:
        with pytest.raises(TypeError):
            head.posterior(sampling, lambda: evidence)
    outputs = outputs_of(head.projection, embeddings)
    linear = head.penultimate(outputs) is None
    assert linear == (Ability.LINEAR in head.abilities)
    if linear:
        assert outputs.shape[1] == (1 if classes == 2 else classes)
    if Ability.CURVATURE in head.abilities:
        assert np.isfinite(Curvature.of(head, evidence).solve(np.ones((DIMENSION + 1, outputs.shape[1])))).all()


def test_probabilities_and_decisions_rank_classes_alike(settings: HeadSettings, classes: int) -> None:
    head, embeddings, _ = fit(settings, classes)
    outputs = outputs_of(head.projection, embeddings)
    probs, decisions = head.probabilities(outputs), head.decisions(outputs)
    assert probs.shape == decisions.shape == (80, classes)
    assert probs.dtype == decisions.dtype == np.float64
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    np.testing.assert_array_equal(probs.argsort(axis=1), decisions.argsort(axis=1))
    if Ability.PROBABILITIES in head.abilities:
        logs = np.log(probs)
        np.testing.assert_allclose(
            logs - logs.mean(axis=1, keepdims=True), decisions - decisions.mean(axis=1, keepdims=True), atol=1e-5
        )


def test_outputs_of_any_memory_layout_give_the_same(settings: HeadSettings, classes: int) -> None:
    head, embeddings, _ = fit(settings, classes)
    columns = outputs_of(head.projection, embeddings)
    rows = np.ascontiguousarray(columns)
    for tell in (head.probabilities, head.decisions, head.penultimate):
        one, other = tell(columns), tell(rows)
        if one is not None:
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_another_head_may_be_where_a_fit_starts(settings: HeadSettings, classes: int) -> None:
    embeddings, numbers = overlapping(80, DIMENSION, classes)
    size = mean_squared_norm(embeddings)
    fitter = fitter_for(settings)
    alone = fitter.fit(with_ones(embeddings), numbers, names(classes), size)
    for other in SETTINGS:
        start, _, _ = fit(other, 3)
        found = fitter_for(settings).fit(with_ones(embeddings), numbers, names(classes), size, start)
        np.testing.assert_allclose(
            found.probabilities(outputs_of(found.projection, embeddings)),
            alone.probabilities(outputs_of(alone.projection, embeddings)),
            atol=2e-5,
        )


def test_a_head_comes_back_from_its_bytes_bit_for_bit(settings: HeadSettings, classes: int) -> None:
    head, embeddings, _ = fit(settings, classes)
    tensors, description = head_to_bytes(head)
    found = head_from_bytes(tensors, description)
    assert type(found) is type(head)
    assert found.labels == head.labels
    assert found.abilities == head.abilities
    assert head_to_bytes(found) == (tensors, description)
    np.testing.assert_array_equal(found.projection.weights, head.projection.weights)
    outputs = outputs_of(head.projection, embeddings)
    np.testing.assert_array_equal(found.probabilities(outputs), head.probabilities(outputs))


def broken(description: str, **changes: Any) -> str:
    return json.dumps({**json.loads(description), **changes})


def test_bytes_that_are_no_head_are_refused(settings: HeadSettings, classes: int) -> None:
    tensors, good = head_to_bytes(fit(settings, classes)[0])
    missing = [json.dumps({k: v for k, v in json.loads(good).items() if k != name}) for name in json.loads(good)]
    for description in (
        *missing,
        "",
        "{}",
        "[]",
        "null",
        broken(good, kind="TREE"),
        broken(good, kind=["SVM"]),
        broken(good, labels="ab"),
        broken(good, labels=[1, 2]),
        broken(good, labels=["a"]),
        broken(good, labels=["a", "a"]),
        broken(good, labels=names(classes + 1)),
    ):
        with pytest.raises(ValueError):
            head_from_bytes(tensors, description)
    for changed in (b"", tensors[:10], tensors[:-1], tensors + b"\0", b"\x80\x04N."):
        with pytest.raises(ValueError):
            head_from_bytes(changed, good)


def test_tensors_that_do_not_fit_are_refused(settings: HeadSettings, classes: int) -> None:
    tensors, good = head_to_bytes(fit(settings, classes)[0])
    arrays = load(tensors)
    for name, array in arrays.items():
        unfit = [array.astype(np.float64), array[..., :-1], array[None], array * np.float32("nan")]
        for other in unfit:
            if other.shape == (*array.shape[:-1], array.shape[-1] - 1) and name == "weights":
                # A linear head of another pool's dimension is a head.
                continue
            with pytest.raises(ValueError):
                head_from_bytes(save({**arrays, name: np.ascontiguousarray(other)}), good)
        with pytest.raises(ValueError):
            head_from_bytes(save({key: value for key, value in arrays.items() if key != name}), good)
    with pytest.raises(ValueError):
        head_from_bytes(save({**arrays, "more": np.ones(1, np.float32)}), good)


@pytest.mark.parametrize("dropout", [0.0, 1.0, "a", None, float("nan")])
def test_a_rate_that_is_none_is_refused(dropout: Any) -> None:
    tensors, good = head_to_bytes(fit(SETTINGS[3], 2)[0])
    with pytest.raises(ValueError):
        head_from_bytes(tensors, broken(good, dropout=dropout))
