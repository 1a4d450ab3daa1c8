"""Requests as domain values: every field checked before anything is done."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from prepal.v1 import selector_pb2

from services.selector.acquisition import RANGES, REGISTRY, Representation, installed
from services.selector.heads import HeadSettings, LogisticSettings, McDropoutSettings, PosteriorKind, SvmSettings
from services.selector.messages import acquisition_name
from services.selector.project import Cleared, Entry, Labeled, Skipped
from services.selector.projects import MAX_LABELS, Definition, Update
from services.selector.selection import SelectionRequest
from services.selector.served import is_cold_start
from services.serving import Checks, shown

MAX_K: Final = 1_000
MAX_ENTRIES: Final = 10_000
MAX_TEXTS: Final = 1_024
MAX_ITEM_IDS: Final = 10_000
_MAX_TEXT: Final = 100_000
_NAME_BYTES: Final = 256
_DAY_MS: Final = 24 * 60 * 60 * 1_000
_RESERVATION_MS: Final = 10 * 60 * 1_000
_COLD_START: Final = "RANDOM"

_NamesAcquisition = selector_pb2.CreateProjectRequest | selector_pb2.UpdateProjectRequest | selector_pb2.SelectRequest
_NamesHead = selector_pb2.CreateProjectRequest | selector_pb2.UpdateProjectRequest


def definition_from(request: selector_pb2.CreateProjectRequest) -> Definition:
    """Returns what CreateProject shall create. Raises InvalidRequest."""
    checks = Checks()
    checks.name("name", request.name)
    checks.name("pool", request.pool)
    if not 2 <= len(request.labels) <= MAX_LABELS:
        checks.refuse("labels", f"labels must be between 2 and {MAX_LABELS} different names, got {len(request.labels)}")
    _check_labels(checks, "labels", request.labels)
    acquisition = _acquisition(checks, request)
    cold_start = _cold_start(checks, request.cold_start)
    reservation_ms = _reservation_ms(checks, request.reservation) if request.HasField("reservation") else None
    head = _head(checks, request) or LogisticSettings()
    parameters = _parameters(checks, request.parameters)
    checks.done()
    return Definition(
        name=request.name,
        pool=request.pool,
        labels=tuple(request.labels),
        acquisition=acquisition or ("MARGIN" if isinstance(head, SvmSettings) else "MAX_ENTROPY"),
        cold_start=cold_start or _COLD_START,
        reservation_ms=_RESERVATION_MS if reservation_ms is None else reservation_ms,
        head=head,
        parameters=parameters,
    )


def update_from(request: selector_pb2.UpdateProjectRequest) -> Update:
    """Returns what UpdateProject shall change. Raises InvalidRequest."""
    checks = Checks()
    checks.name("project", request.project)
    if len(request.add_labels) > MAX_LABELS:
        checks.refuse("add_labels", f"add_labels must be at most {MAX_LABELS} names, got {len(request.add_labels)}")
    _check_labels(checks, "add_labels", request.add_labels)
    update = Update(
        add_labels=tuple(request.add_labels),
        acquisition=_acquisition(checks, request),
        cold_start=_cold_start(checks, request.cold_start),
        reservation_ms=_reservation_ms(checks, request.reservation) if request.HasField("reservation") else None,
        head=_head(checks, request),
        parameters=_parameters(checks, request.parameters) if request.HasField("parameters") else None,
    )
    checks.done()
    return update


def selection_from(request: selector_pb2.SelectRequest) -> SelectionRequest:
    """Returns what Select shall choose. Raises InvalidRequest."""
    checks = Checks()
    checks.name("project", request.project)
    checks.between("k", request.k, 1, MAX_K)
    checks.at_most_bytes("annotator", request.annotator, _NAME_BYTES)
    checks.at_most_bytes("request_id", request.request_id, _NAME_BYTES)
    found = SelectionRequest(
        project=request.project,
        k=request.k,
        acquisition=_acquisition(checks, request),
        annotator=request.annotator,
        reservation_ms=_reservation_ms(checks, request.reservation) if request.HasField("reservation") else None,
        seed=request.seed if request.HasField("seed") else None,
        request_id=request.request_id,
        digest=digest_of(request),
        allow_stale_head=request.allow_stale_head,
        parameters=_parameters(checks, request.parameters),
        max_similarity=request.max_similarity if request.HasField("max_similarity") else None,
    )
    if found.max_similarity is not None and not 0 < found.max_similarity <= 1:
        checks.refuse(
            "max_similarity", f"max_similarity must be more than 0 and at most 1, got {found.max_similarity:g}"
        )
    checks.done()
    return found


def entries_from(request: selector_pb2.RecordLabelsRequest) -> list[Entry]:
    """Returns what RecordLabels shall record. Raises InvalidRequest."""
    checks = Checks()
    checks.name("project", request.project)
    checks.at_most_bytes("annotator", request.annotator, _NAME_BYTES)
    checks.at_most_bytes("request_id", request.request_id, _NAME_BYTES)
    if not 1 <= len(request.entries) <= MAX_ENTRIES:
        checks.refuse("entries", f"entries must be between 1 and {MAX_ENTRIES}, got {len(request.entries)}")
    checks.done()
    entries: list[Entry] = []
    first: dict[str, int] = {}
    for number, entry in enumerate(request.entries):
        field, item_id = f"entries[{number}]", entry.item_id
        if not item_id:
            checks.refuse(f"{field}.item_id", f"{field}.item_id must be given, got an empty id")
        elif first.setdefault(item_id, number) != number:
            checks.refuse(
                f"{field}.item_id",
                f"{field}.item_id must be of an item with no other entry in the call, got {shown(item_id)} again after "
                f"entries[{first[item_id]}]",
            )
        action = entry.WhichOneof("action")
        if action == "label" and not entry.label:
            checks.refuse(f"{field}.label", f"{field}.label must be one of the project's labels, got an empty one")
        elif action == "label":
            entries.append(Labeled(item_id, entry.label))
        elif action == "skip":
            entries.append(Skipped(item_id))
        elif action == "clear":
            entries.append(Cleared(item_id))
        else:
            checks.refuse(field, f"{field} must say label, skip or clear, got none of them")
    checks.done()
    return entries


def texts_from(inputs: selector_pb2.TextInputs) -> list[tuple[str, str | None]]:
    """Returns the texts that Predict shall predict. Raises InvalidRequest."""
    checks = Checks()
    found = inputs.inputs
    if not 1 <= len(found) <= MAX_TEXTS:
        checks.refuse("texts.inputs", f"texts.inputs must be between 1 and {MAX_TEXTS}, got {len(found)}")
    for number, text in enumerate(found[:MAX_TEXTS]):
        parts = [("text", text.text)] + ([("text_pair", text.text_pair)] if text.HasField("text_pair") else [])
        for name, value in parts:
            field = f"texts.inputs[{number}].{name}"
            checks.not_empty(field, value)
            if len(value) > _MAX_TEXT:
                checks.refuse(field, f"{field} must be at most {_MAX_TEXT} characters long, got {len(value)}")
    checks.done()
    return [(text.text, text.text_pair if text.HasField("text_pair") else None) for text in found]


def item_ids_from(item_ids: selector_pb2.ItemIds) -> list[str]:
    """Returns the items that Predict shall predict. Raises InvalidRequest."""
    checks = Checks()
    found = list(item_ids.item_ids)
    if not 1 <= len(found) <= MAX_ITEM_IDS:
        checks.refuse("item_ids", f"item_ids must be between 1 and {MAX_ITEM_IDS} ids, got {len(found)}")
    checks.done()
    return found


def digest_of(request: Message) -> str:
    """Returns what tells requests of one id apart: a digest of all other fields, and of the kind of request."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    kind = request.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(kind + b"\0" + bare.SerializeToString(deterministic=True)).hexdigest()


def _check_labels(checks: Checks, field: str, labels: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for number, label in enumerate(labels):
        name = f"{field}[{number}]"
        checks.not_empty(name, label)
        checks.at_most_bytes(name, label, _NAME_BYTES)
        if first.setdefault(label, number) != number:
            checks.refuse(
                name, f"{name} must differ from the others, got {shown(label)} again after {field}[{first[label]}]"
            )


def _acquisition(checks: Checks, request: _NamesAcquisition) -> str | None:
    """Returns an acquisition function's name, ours or an installed one's; None when it is not set."""
    custom = request.custom_acquisition
    if not custom:
        return _built_in(checks, "acquisition", request.acquisition)
    if request.acquisition != selector_pb2.ACQUISITION_UNSPECIFIED:
        checks.refuse("custom_acquisition", f"custom_acquisition must be empty beside acquisition, got {shown(custom)}")
    elif custom not in installed():
        names = ", ".join(sorted(installed())) or "there is none"
        checks.refuse(
            "custom_acquisition",
            f"custom_acquisition must be one of the functions installed in the selector ({names}), got {shown(custom)}",
        )
    return custom


def _built_in(checks: Checks, field: str, value: selector_pb2.Acquisition) -> str | None:
    if value == selector_pb2.ACQUISITION_UNSPECIFIED:
        return None
    try:
        name = acquisition_name(value)
    except ValueError:
        name = str(int(value))
    if name not in REGISTRY:
        checks.refuse(field, f"{field} must be one of {', '.join(REGISTRY)}, got {name}")
    return name


def _cold_start(checks: Checks, value: selector_pb2.Acquisition) -> str | None:
    name = _built_in(checks, "cold_start", value)
    possible = [name for name, function in REGISTRY.items() if is_cold_start(function)]
    if name in REGISTRY and name not in possible:
        checks.refuse("cold_start", f"cold_start must need neither head nor labels: {', '.join(possible)}, got {name}")
    return name


def _parameters(checks: Checks, message: selector_pb2.AcquisitionParameters) -> dict[str, Any]:
    """Returns the fields that are set, by name."""
    found: dict[str, Any] = {}
    for name, allowed in RANGES.items():
        if message.HasField(name):
            value = found[name] = getattr(message, name)
            if value not in allowed:
                checks.refuse(f"parameters.{name}", f"parameters.{name} must be {allowed}, got {value:g}")
    for name, kind, number in (
        ("posterior", PosteriorKind, int(message.posterior)),
        ("representation", Representation, int(message.representation)),
    ):
        if number > len(kind):
            checks.refuse(f"parameters.{name}", f"parameters.{name} must be one of {', '.join(kind)}, got {number}")
        elif number:
            # The values on the wire are numbered as the kinds are listed.
            found[name] = list(kind)[number - 1].value
    return found


def _reservation_ms(checks: Checks, reservation: Duration) -> int:
    """Returns a reservation time in whole milliseconds, at least 1 unless it is 0."""
    seconds = reservation.seconds + reservation.nanos / 1e9
    if not 0 <= seconds * 1_000 <= _DAY_MS or abs(reservation.nanos) >= 1_000_000_000:
        checks.refuse("reservation", f"reservation must be between 0 and 24 hours (86400 s), got {seconds:g} s")
        return 0
    return math.ceil(reservation.seconds * 1_000 + reservation.nanos / 1_000_000)


def _head(checks: Checks, request: _NamesHead) -> HeadSettings | None:
    """Returns a head's settings; None when none is set."""
    kind = request.WhichOneof("head")
    if kind is None:
        return None
    head = getattr(request, kind)
    if head.class_weight not in selector_pb2.ClassWeight.values():
        checks.refuse(
            f"{kind}.class_weight",
            f"{kind}.class_weight must be CLASS_WEIGHT_UNSPECIFIED or CLASS_WEIGHT_BALANCED, "
            f"got {int(head.class_weight)}",
        )
    balanced = head.class_weight == selector_pb2.CLASS_WEIGHT_BALANCED
    try:
        if kind == "mc_dropout":
            unsaid = McDropoutSettings()
            return McDropoutSettings(
                hidden=tuple(head.hidden),
                dropout=head.dropout or unsaid.dropout,
                inverse_regularization=head.inverse_regularization or unsaid.inverse_regularization,
                learning_rate=head.learning_rate or unsaid.learning_rate,
                max_epochs=head.max_epochs or unsaid.max_epochs,
                balanced=balanced,
            )
        settings = SvmSettings if kind == "svm" else LogisticSettings
        return settings(
            inverse_regularization=head.inverse_regularization or settings().inverse_regularization, balanced=balanced
        )
    except ValueError as error:
        # The message begins with the field's name.
        checks.refuse(f"{kind}.{str(error).split(maxsplit=1)[0]}", f"{kind}.{error}")
        return None
