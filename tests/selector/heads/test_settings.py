"""What a project may set of its head."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.selector.heads import (
    HeadSettings,
    LogisticSettings,
    McDropoutSettings,
    SvmSettings,
    fitter_for,
    settings_from_fields,
    settings_to_fields,
)

SETTINGS: list[HeadSettings] = [
    LogisticSettings(),
    LogisticSettings(inverse_regularization=0.25, balanced=True),
    McDropoutSettings(),
    McDropoutSettings(
        hidden=(64, 8), dropout=0.5, inverse_regularization=2, learning_rate=0.1, max_epochs=7, balanced=True
    ),
    SvmSettings(),
    SvmSettings(inverse_regularization=1e6),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_settings_come_back_from_json(settings: HeadSettings) -> None:
    fields = settings_to_fields(settings)
    assert fields["kind"] == settings.kind
    assert settings_from_fields(json.loads(json.dumps(fields))) == settings


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_fitter_knows_its_settings(settings: HeadSettings) -> None:
    assert fitter_for(settings).settings == settings


def test_a_field_that_is_not_there_has_its_default() -> None:
    assert settings_from_fields({"kind": "MC_DROPOUT", "dropout": 0.2}) == McDropoutSettings(dropout=0.2)
    assert settings_from_fields({"kind": "SVM", "inverse_regularization": 3}) == SvmSettings(inverse_regularization=3.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "kind must be one of LOGISTIC, MC_DROPOUT, SVM, got None"),
        ({"kind": "TREE"}, "got 'TREE'"),
        ({"kind": ["SVM"]}, "kind must be"),
        ({"kind": "SVM", "dropout": 0.1}, "dropout is no setting of SVM"),
        ({"kind": "SVM", "balanced": 1}, "balanced must be of type bool, got 1"),
        ({"kind": "SVM", "inverse_regularization": True}, "inverse_regularization must be of type float"),
        ({"kind": "MC_DROPOUT", "hidden": 3}, "hidden must be of type tuple, got 3"),
        ({"kind": "MC_DROPOUT", "hidden": [1.5]}, "hidden must be of type int, got 1.5"),
        ({"kind": "MC_DROPOUT", "max_epochs": 1.5}, "max_epochs must be of type int"),
        ({"kind": "LOGISTIC", "inverse_regularization": 0}, "inverse_regularization must be more than 0"),
    ],
)
def test_fields_that_are_no_settings_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings_from_fields(fields)


@pytest.mark.parametrize("kind", [LogisticSettings, McDropoutSettings, SvmSettings])
@pytest.mark.parametrize("c", [0.0, -1.0, 2e6, float("nan")])
def test_a_penalty_out_of_range_is_refused(kind: type[HeadSettings], c: float) -> None:
    with pytest.raises(ValueError, match="inverse_regularization must be more than 0 and at most 1e6, got"):
        kind(inverse_regularization=c)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden": (1, 1, 1, 1)}, "hidden must be at most 3 layers, got 4"),
        ({"hidden": (0,)}, "hidden must be layers of 1 to 4096 units, got 0"),
        ({"hidden": (8, 4_097)}, "got 4097"),
        ({"dropout": 0.0}, "dropout must be more than 0 and less than 1, got 0"),
        ({"dropout": 1.0}, "dropout must be more than 0 and less than 1, got 1"),
        ({"dropout": float("nan")}, "dropout must be"),
        ({"learning_rate": 0.0}, "learning_rate must be more than 0 and at most 1, got 0"),
        ({"learning_rate": 1.5}, "got 1.5"),
        ({"max_epochs": 0}, "max_epochs must be between 1 and 10000, got 0"),
        ({"max_epochs": 10_001}, "got 10001"),
    ],
)
def test_settings_of_a_network_out_of_range_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        McDropoutSettings(**fields)
