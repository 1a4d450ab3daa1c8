"""A project and what people said about its items, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.selector.heads import HeadSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A project's settings, defaults resolved.

    Attributes:
        name: the project's name.
        pool: the pool whose items are labeled.
        labels: the label set, in the order of probability columns. It only grows.
        acquisition: name of the acquisition function Select uses when the request names none.
        cold_start: name of the one it uses while no head can be fit.
        reservation_ms: how long Select reserves items when the request does not say; 0 for not at all.
        head: the head's settings.
        parameters: fields of acquisition `Parameters` that are set.
        fingerprint: of the embeddings the head is fit on.
        created_ms: when the project was created, milliseconds since 1970.
    """

    name: str
    pool: str
    labels: tuple[str, ...]
    acquisition: str
    cold_start: str
    reservation_ms: int
    head: HeadSettings
    parameters: Mapping[str, Any]
    fingerprint: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """What is recorded about one item.

    Attributes:
        label: the label's name; None for a skipped item.
        annotator: who said it.
        time_ms: when it was recorded, milliseconds since 1970 by the store's clock.
    """

    label: str | None
    annotator: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Labeled:
    """An entry that gives an item a label."""

    item_id: str
    label: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry that skips an item."""

    item_id: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """An entry that takes back what was recorded about an item."""

    item_id: str


Entry = Labeled | Skipped | Cleared


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectStatus:
    """A project's counts, all of one moment.

    Attributes:
        labeled: items with a label.
        skipped: items skipped.
        reserved: items reserved by somebody.
        labeled_per_label: items with each label, in the order of the project's labels.
        label_version: grows with every call that changed something.
        head_version: the newest head's version; 0 for none.
        head_label_version: the label version that head has seen.
    """

    labeled: int
    skipped: int
    reserved: int
    labeled_per_label: tuple[int, ...]
    label_version: int
    head_version: int
    head_label_version: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What RecordLabels did.

    Attributes:
        changed: entries that changed something.
        unchanged: entries that said what was recorded already.
        label_version: after the call.
        labeled: items with a label after the call.
    """

    changed: int
    unchanged: int
    label_version: int
    labeled: int
