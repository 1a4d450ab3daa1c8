"""Labels: what people said about items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from prepal.v1 import selector_pb2
from prepal.values.times import time_from


class Mark(Enum):
    """What a person can say about an item instead of a label."""

    SKIP = "skip"
    CLEAR = "clear"


SKIP: Final = Mark.SKIP
"""The person would not label the item: it is not selected again, and no head sees it."""

CLEAR: Final = Mark.CLEAR
"""Takes back a label or a skip: the item may be selected again."""

LabelEntries = Mapping[str, str | Mark] | Iterable[tuple[str, str | Mark]]
"""Labels by item id, or pairs of item id and label; `SKIP` and `CLEAR` stand where a label does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What is recorded about one item.

    Attributes:
        item_id: the item's id.
        label: the label's name; None for a skipped item.
        skipped: whether the item was skipped.
        annotator: who said it.
        time: when it was recorded, in UTC.
    """

    item_id: str
    label: str | None
    skipped: bool
    annotator: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedLabels:
    """What a `record_labels` did.

    Attributes:
        changed: entries that changed something.
        unchanged: entries that said what was recorded already.
        label_version: the label version after the call.
        labeled: items with a label after the call.
    """

    changed: int
    unchanged: int
    label_version: int
    labeled: int


def entries_to_messages(entries: LabelEntries) -> Iterator[selector_pb2.LabelEntry]:
    """Yields what was said as messages.

    Raises:
        ValueError: for an entry that is neither a label nor `SKIP` nor `CLEAR`.
    """
    pairs = entries.items() if isinstance(entries, Mapping) else entries
    for item_id, said in pairs:
        match said:
            case Mark.SKIP:
                yield selector_pb2.LabelEntry(item_id=item_id, skip=selector_pb2.Skip())
            case Mark.CLEAR:
                yield selector_pb2.LabelEntry(item_id=item_id, clear=selector_pb2.Clear())
            case str():
                yield selector_pb2.LabelEntry(item_id=item_id, label=said)
            case _:
                raise ValueError(
                    f"the label of item {item_id!r:.80} must be a string, prepal.SKIP or prepal.CLEAR, got {said!r:.80}"
                )


def label_from_message(message: selector_pb2.Label) -> Label:
    """Returns the label of a message."""
    return Label(
        item_id=message.item_id,
        label=None if message.skipped else message.label,
        skipped=message.skipped,
        annotator=message.annotator,
        time=time_from(message.time),
    )
