"""Small pools of the client's own embeddings, made without an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from services.pools import BackboneDefinition, Item, Pool, PoolDefinition, Pooling, PoolStore

DIMENSION = 16
LABELS = ("negative", "neutral", "positive")


def true_label(number: int, classes: int = 2) -> str:
    """The label item `number` would get from a person who knows."""
    return ("negative", "positive")[number % 2] if classes == 2 else LABELS[number % 3]


def embeddings(start: int, stop: int, dimension: int = DIMENSION, classes: int = 2) -> npt.NDArray[np.float16]:
    """Embeddings of items `start` to `stop`: each follows from its number, and classes lie apart."""
    centres = np.random.default_rng(7).standard_normal((classes, dimension))
    rows = [
        centres[number % classes] + 1.5 * np.random.default_rng(1_000 + number).standard_normal(dimension)
        for number in range(start, stop)
    ]
    return np.array(rows, np.float16).reshape(-1, dimension)


def ids(start: int, stop: int) -> list[str]:
    """Ids of items `start` to `stop`."""
    return [f"i{number}" for number in range(start, stop)]


def number_of(item_id: str) -> int:
    """The number of an item."""
    return int(item_id[1:])


class Pools:
    """Makes pools in a data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.store = PoolStore(str(data))

    def make(
        self,
        name: str = "reviews",
        items: int = 60,
        *,
        dimension: int = DIMENSION,
        classes: int = 2,
        backbone: BackboneDefinition | None = None,
        fingerprint: str = "",
    ) -> Pool:
        """Makes a pool of so many items."""
        pool = self.store.create(
            PoolDefinition(
                name=name,
                backbone=backbone,
                fingerprint=fingerprint or f"own-{dimension}",
                dimension=dimension,
                created_at=datetime.now(UTC),
                incarnation=uuid4().hex,
            )
        )
        self.grow(name, 0, items, classes=classes)
        return pool

    def grow(self, name: str, start: int, stop: int, *, classes: int = 2) -> None:
        """Adds items `start` to `stop`."""
        pool = self.store.open(name)
        items = [Item(item_id, f"text {number_of(item_id)}", None, "") for item_id in ids(start, stop)]
        pool.append(items, embeddings(start, stop, pool.definition.dimension, classes))

    def put(self, name: str, items: Sequence[str], vectors: npt.NDArray[np.float16]) -> None:
        """Adds items with the embeddings given."""
        self.store.open(name).append([Item(item_id, f"text of {item_id}") for item_id in items], vectors)


def minilm() -> BackboneDefinition:
    """A backbone, for tests that never embed with it."""
    return BackboneDefinition(model="minilm", pooling=Pooling.MEAN, max_length=256, normalize=True, pair_mode=None)
