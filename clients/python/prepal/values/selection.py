"""Selections: the items a project wants labeled next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prepal import tensors
from prepal.v1 import selector_pb2
from prepal.values.acquisition import acquisition_from_message
from prepal.values.item import metadata_from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedItem:
    """One item to label.

    Attributes:
        id: the item's id.
        text: its text.
        text_pair: the second text of a pair, else None.
        metadata: what the client gave with the item.
        score: the acquisition's score, higher = more wanted; for RANDOM the draw that ordered the items.
        probabilities: class probabilities, float32, shape (C,), in the order of `Selection.labels`; shape (0,) while
            there is no head.
    """

    id: str
    text: str
    text_pair: str | None
    metadata: Mapping[str, Any]
    score: float
    probabilities: NDArray[np.float32] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectTiming:
    """Seconds that each part of a `select` took on the server."""

    fit: float
    score: float
    pick: float
    fetch: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a `select` answered. Iterating it gives its items, most wanted first.

    Attributes:
        items: the items, most wanted first.
        labels: the label set, naming the columns of `probabilities`.
        probabilities: class probabilities of the items, float32, shape (len(items), C); shape (len(items), 0) while
            there is no head.
        acquisition: the acquisition that was really used: an `Acquisition`, or the name of an installed function.
        cold_start: whether the cold-start acquisition answered because the one asked for could not begin.
        head_version: the head that scored; 0 when none did.
        pool_version: the pool's version that was scored.
        seed: what random choices started from.
        remaining: items that this annotator could still be given.
        timing: where the time went on the server.
    """

    items: tuple[SelectedItem, ...]
    labels: tuple[str, ...]
    probabilities: NDArray[np.float32] = field(compare=False, repr=False)
    acquisition: str
    cold_start: bool
    head_version: int
    pool_version: int
    seed: int
    remaining: int
    timing: SelectTiming

    def __iter__(self) -> Iterator[SelectedItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def ids(self) -> list[str]:
        """The items' ids, most wanted first."""
        return [item.id for item in self.items]


def selection_from_message(message: selector_pb2.SelectResponse) -> Selection:
    """Returns the selection of a message."""
    if message.probabilities.data:
        probabilities = tensors.unpack(message.probabilities).astype(np.float32, copy=False)
    else:
        probabilities = np.empty((len(message.items), 0), np.float32)
    return Selection(
        items=tuple(_item_from_message(item, row) for item, row in zip(message.items, probabilities, strict=True)),
        labels=tuple(message.labels),
        probabilities=probabilities,
        acquisition=acquisition_from_message(message),
        cold_start=message.cold_start,
        head_version=message.head_version,
        pool_version=message.pool_version,
        seed=message.seed,
        remaining=message.remaining,
        timing=SelectTiming(
            fit=message.timing.fit_seconds,
            score=message.timing.score_seconds,
            pick=message.timing.pick_seconds,
            fetch=message.timing.fetch_seconds,
        ),
    )


def _item_from_message(message: selector_pb2.SelectedItem, probabilities: NDArray[np.float32]) -> SelectedItem:
    item = message.item
    return SelectedItem(
        id=item.item_id,
        text=item.text,
        text_pair=item.text_pair if item.HasField("text_pair") else None,
        metadata=metadata_from_json(item.metadata),
        score=message.score,
        probabilities=probabilities,
    )
