"""What a follower of a project learns, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.selector.project import LabelRecord, Project


@dataclass(frozen=True, slots=True)
class Marks:
    """How far a follower of a project has read.

    Attributes:
        uid: the project's incarnation; "" for nothing read.
        settings_version: of the settings read.
        label_mark: id of the last entry of the label log; "" for none.
        selection_mark: id of the last entry of the selections; "" for none.
    """

    uid: str = ""
    settings_version: int = 0
    label_mark: str = ""
    selection_mark: str = ""


@dataclass(frozen=True, slots=True)
class Reserved:
    """Items that one annotator holds until a moment of the store's clock."""

    item_ids: tuple[str, ...]
    annotator: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Released:
    """Items that nobody holds any more."""

    item_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a request id stands for.

    Attributes:
        digest: of the request that came with it.
        answer: the answer's bytes; None when it was decided and not yet finished.
        decision: what was decided; empty when the answer is there.
    """

    digest: str
    answer: bytes | None
    decision: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What changed in a project since some marks, all of one moment.

    Attributes:
        marks: where the next reading begins.
        project: the settings; None when they are as they were.
        label_version: now.
        labels_whole: whether `labels` is all there is, not what changed.
        labels: item ids with what is recorded about them, None for what was cleared, in order.
        reservations_whole: whether `reservations` is all there is, not what changed.
        reservations: what was reserved and released, in order.
        head_version: of the newest head; 0 for none.
        now_ms: the store's clock.
        kept: what the request id stands for, if one was asked for.
    """

    marks: Marks
    project: Project | None
    label_version: int
    labels_whole: bool
    labels: Sequence[tuple[str, LabelRecord | None]]
    reservations_whole: bool
    reservations: Sequence[Reserved | Released]
    head_version: int
    now_ms: int
    kept: KeptAnswer | None
