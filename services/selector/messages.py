"""Domain values as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from prepal.tensors import pack
from prepal.v1 import embedder_pb2, selector_pb2

from services.pools import Item
from services.selector.heads import HeadSettings, LogisticSettings, McDropoutSettings, SvmSettings
from services.selector.predicting import Predicted
from services.selector.project import LabelRecord, Project, ProjectStatus, Recorded
from services.selector.selection import Selection
from services.selector.stopping import StoppingSignals, stabilised

_PREFIX = "ACQUISITION_"


def acquisition_name(value: selector_pb2.Acquisition) -> str:
    """Returns an acquisition function's name, without the enum's prefix."""
    return selector_pb2.Acquisition.Name(value).removeprefix(_PREFIX)


def project_message(project: Project) -> selector_pb2.Project:
    """Returns a project's settings."""
    return selector_pb2.Project(
        name=project.name,
        pool=project.pool,
        labels=project.labels,
        acquisition=_acquisition(project.acquisition),
        custom_acquisition=_custom(project.acquisition),
        cold_start=_acquisition(project.cold_start),
        reservation=_duration(project.reservation_ms),
        logistic=_logistic(project.head),
        mc_dropout=_mc_dropout(project.head),
        svm=_svm(project.head),
        parameters=_parameters(project.parameters),
        fingerprint=project.fingerprint,
        created_at=_timestamp(project.created_ms),
    )


def status_message(status: ProjectStatus, items: int) -> selector_pb2.ProjectStatus:
    """Returns a project's counts."""
    return selector_pb2.ProjectStatus(
        items=items,
        labeled=status.labeled,
        skipped=status.skipped,
        reserved=status.reserved,
        labeled_per_label=status.labeled_per_label,
        label_version=status.label_version,
        head_version=status.head_version,
        head_label_version=status.head_label_version,
    )


def stopping_message(history: Sequence[StoppingSignals]) -> selector_pb2.Stopping:
    """Returns stopping signals, the oldest first."""
    return selector_pb2.Stopping(
        history=[
            selector_pb2.StoppingSignals(
                labeled=found.labeled,
                head_version=found.head_version,
                since=found.since,
                agreement=found.agreement,
                change=found.change,
                uncertainty=found.uncertainty,
                expected_error=found.expected_error,
            )
            for found in history
        ],
        stabilised=stabilised(history),
    )


def selection_message(selection: Selection) -> selector_pb2.SelectResponse:
    """Returns what Select answers."""
    timing = selection.timing
    return selector_pb2.SelectResponse(
        items=[
            selector_pb2.SelectedItem(item=_item(item), score=score)
            for item, score in zip(selection.items, selection.scores.tolist(), strict=True)
        ],
        probabilities=None if selection.probabilities is None else pack(selection.probabilities),
        labels=selection.labels,
        acquisition=_acquisition(selection.acquisition),
        custom_acquisition=_custom(selection.acquisition),
        cold_start=selection.cold_start,
        head_version=selection.head_version,
        pool_version=selection.pool_version,
        seed=selection.seed,
        remaining=selection.remaining,
        timing=selector_pb2.SelectTiming(
            fit_seconds=timing.fit, score_seconds=timing.score, pick_seconds=timing.pick, fetch_seconds=timing.fetch
        ),
    )


def recorded_message(recorded: Recorded) -> selector_pb2.RecordLabelsResponse:
    """Returns what RecordLabels answers."""
    return selector_pb2.RecordLabelsResponse(
        changed=recorded.changed,
        unchanged=recorded.unchanged,
        label_version=recorded.label_version,
        labeled=recorded.labeled,
    )


def label_message(item_id: str, record: LabelRecord) -> selector_pb2.Label:
    """Returns what is recorded about an item."""
    return selector_pb2.Label(
        item_id=item_id,
        label=record.label or "",
        skipped=record.label is None,
        annotator=record.annotator,
        time=_timestamp(record.time_ms),
    )


def predicted_message(predicted: Predicted) -> selector_pb2.PredictResponse:
    """Returns one chunk of predictions."""
    return selector_pb2.PredictResponse(
        item_ids=predicted.item_ids,
        probabilities=pack(predicted.probabilities),
        labels=predicted.labels,
        head_version=predicted.head_version,
    )


def _item(item: Item) -> embedder_pb2.Item:
    return embedder_pb2.Item(item_id=item.item_id, text=item.text, text_pair=item.text_pair, metadata=item.metadata)


def _acquisition(name: str) -> selector_pb2.Acquisition:
    if _custom(name):
        return selector_pb2.ACQUISITION_UNSPECIFIED
    return cast(selector_pb2.Acquisition, selector_pb2.Acquisition.Value(_PREFIX + name))


def _custom(name: str) -> str:
    """Returns the name of an installed function, which has a dot; "" for one of ours."""
    return name if "." in name else ""


def _logistic(settings: HeadSettings) -> selector_pb2.LogisticHead | None:
    if not isinstance(settings, LogisticSettings):
        return None
    return selector_pb2.LogisticHead(
        inverse_regularization=settings.inverse_regularization, class_weight=_class_weight(settings.balanced)
    )


def _mc_dropout(settings: HeadSettings) -> selector_pb2.McDropoutHead | None:
    if not isinstance(settings, McDropoutSettings):
        return None
    return selector_pb2.McDropoutHead(
        hidden=settings.hidden,
        dropout=settings.dropout,
        class_weight=_class_weight(settings.balanced),
        inverse_regularization=settings.inverse_regularization,
        learning_rate=settings.learning_rate,
        max_epochs=settings.max_epochs,
    )


def _svm(settings: HeadSettings) -> selector_pb2.SvmHead | None:
    if not isinstance(settings, SvmSettings):
        return None
    return selector_pb2.SvmHead(
        inverse_regularization=settings.inverse_regularization, class_weight=_class_weight(settings.balanced)
    )


def _class_weight(balanced: bool) -> selector_pb2.ClassWeight:
    return selector_pb2.CLASS_WEIGHT_BALANCED if balanced else selector_pb2.CLASS_WEIGHT_UNSPECIFIED


def _parameters(values: Mapping[str, Any]) -> selector_pb2.AcquisitionParameters:
    message = selector_pb2.AcquisitionParameters()
    for name, value in values.items():
        if name == "posterior":
            message.posterior = cast(selector_pb2.Posterior, selector_pb2.Posterior.Value(f"POSTERIOR_{value}"))
        elif name == "representation":
            message.representation = cast(
                selector_pb2.Representation, selector_pb2.Representation.Value(f"REPRESENTATION_{value}")
            )
        else:
            setattr(message, name, value)
    return message


def _duration(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(milliseconds)
    return duration


def _timestamp(milliseconds: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMilliseconds(milliseconds)
    return timestamp
