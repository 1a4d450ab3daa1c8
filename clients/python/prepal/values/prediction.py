"""Predictions of a project's head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prepal import tensors
from prepal.v1 import selector_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Class probabilities of texts or items, in the order asked; of a pool, in the order its items were added.

    Attributes:
        ids: the items' ids; empty for texts.
        probabilities: float32, shape (n, C).
        labels: the label set, naming the columns.
        head_version: the head that predicted; the newest, where a call of many texts saw a refit.
    """

    ids: tuple[str, ...]
    probabilities: NDArray[np.float32] = field(compare=False)
    labels: tuple[str, ...]
    head_version: int

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def best(self) -> list[str]:
        """The most probable label of each; of equals the first."""
        if not len(self.probabilities):
            return []
        return [self.labels[column] for column in self.probabilities.argmax(axis=1)]


def predictions_from_messages(messages: Sequence[selector_pb2.PredictResponse]) -> Predictions:
    """Joins the chunks of an answer."""
    labels = tuple(messages[-1].labels) if messages else ()
    # A label added between two chunks is one more column, which the earlier chunks' head gave no probability.
    blocks = [np.empty((0, len(labels)), np.float32)]
    for message in messages:
        block = tensors.unpack(message.probabilities).astype(np.float32, copy=False)
        if len(block):
            blocks.append(np.pad(block, ((0, 0), (0, max(0, len(labels) - block.shape[1])))))
    return Predictions(
        ids=tuple(item_id for message in messages for item_id in message.item_ids),
        probabilities=np.concatenate(blocks),
        labels=labels,
        head_version=max((message.head_version for message in messages), default=0),
    )
