"""A pool in memory, and the selector's own view of it."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bench.acquisition.drawn import DrawnHead
from bench.acquisition.inputs import Inputs, Rows
from services.pools import Item
from services.selector.acquisition import DEFAULTS, REGISTRY, Picks
from services.selector.choosing import Choice, Choosing
from services.selector.heads import (
    Head,
    HeadSettings,
    LogisticSettings,
    McDropoutSettings,
    fitter_for,
    head_from_bytes,
    head_to_bytes,
)
from services.selector.scoring import PoolView, Products, Seen, Shelf, mean_squared_norm

_BLOCK_ROWS = 65_536


class HeadKind(enum.StrEnum):
    """The head that functions see."""

    LOGISTIC = "LOGISTIC"
    MC_DROPOUT = "MC_DROPOUT"
    # Independent draws, BATCH_BALD's worst case: no head of a project.
    DIRICHLET = "DIRICHLET"


_LOGISTIC: Final = LogisticSettings()
_SETTINGS: Final[dict[HeadKind, HeadSettings]] = {
    HeadKind.LOGISTIC: _LOGISTIC,
    HeadKind.MC_DROPOUT: McDropoutSettings(),
}


class Matrix:
    """Implements `services.selector.stores.PoolSnapshot`: embeddings in memory; item ids are row numbers."""

    def __init__(self, embeddings: npt.NDArray[np.float16]) -> None:
        self.version = len(embeddings)
        self.dimension = embeddings.shape[1]
        self.incarnation = "bench"
        self._embeddings = embeddings

    def __len__(self) -> int:
        return len(self._embeddings)

    def blocks(self) -> Sequence[npt.NDArray[np.float16]]:
        """Returns the embeddings in blocks."""
        return [self._embeddings[start : start + _BLOCK_ROWS] for start in range(0, len(self), _BLOCK_ROWS)]

    def gather(self, rows: npt.ArrayLike) -> npt.NDArray[np.float16]:
        """Returns the embeddings of rows."""
        return self._embeddings[np.atleast_1d(np.asarray(rows, np.int64))]

    def rows_of(self, item_ids: Sequence[str]) -> Rows:
        """Returns the rows of ids."""
        return np.array([int(item_id) for item_id in item_ids], np.int64)

    def ids_of(self, rows: npt.ArrayLike) -> list[str]:
        """Returns the ids of rows."""
        return [str(row) for row in np.atleast_1d(np.asarray(rows, np.int64))]

    def items_of(self, rows: npt.ArrayLike) -> list[Item]:
        """Returns items without a text of their own."""
        return [Item(item_id, item_id) for item_id in self.ids_of(rows)]


@contextmanager
def running_products() -> Iterator[Products]:
    """Yields what multiplies, with as many threads as the service has by default."""
    # As the service does.
    threadpool_limits(1)
    products = Products(os.cpu_count() or 1)
    yield products
    products.close()


class Pool:
    """A pool with the classes of its items, from which labels are taken.

    Args:
        inputs: embeddings, classes and a head.
        products: what multiplies.

    Attributes:
        matrix: the embeddings.
        classes: of all rows, (N,).
        head: the head.
    """

    def __init__(self, inputs: Inputs, products: Products) -> None:
        self.matrix = Matrix(inputs.embeddings)
        self.classes = inputs.classes
        self._products = products
        self._kind = HeadKind(inputs.head)
        self.head = self._stored(inputs)

    def view(self, shelf: Shelf, head: Head | None, version: int, labeled: Rows) -> PoolView:
        """Returns what an acquisition function sees.

        Args:
            shelf: what keeps values between calls.
            head: the head; None without one.
            version: of the head.
            labeled: the rows with a label, ascending; all others are free.
        """
        free = np.ones(len(self.matrix), np.bool_)
        free[labeled] = False
        seen = None
        if head is not None:
            regularization = _LOGISTIC.inverse_regularization
            seen = Seen(head=head, version=version, inverse_regularization=regularization, balanced=False)
        return PoolView(
            products=self._products,
            shelf=shelf,
            snapshot=self.matrix,
            pool="pool",
            project="project",
            seen=seen,
            free=free,
            labeled=labeled,
            classes=self.classes[labeled],
            reserved=np.empty(0, np.int64),
        )

    def choose(self, view: PoolView, shelf: Shelf, function: str, k: int, seed: int) -> Picks:
        """Returns what the selector would pick, of the sub-pool it would look at."""
        choice = Choice(
            function=REGISTRY[function],
            cold_start=False,
            head=None,
            seed=seed,
            parameters=DEFAULTS,
            max_similarity=None,
        )
        return Choosing(self._products, shelf).choose(view, choice, k)

    def fit(self, labeled: Rows) -> Head:
        """Returns a head of the inputs' kind, fit on some rows."""
        labels = [f"class {number}" for number in range(int(self.classes.max()) + 1)]
        if self._kind is HeadKind.DIRICHLET:
            return DrawnHead(self.matrix.dimension // len(labels), len(labels))
        embeddings = self.matrix.gather(labeled).astype(np.float32)
        features = np.concatenate([embeddings, np.ones((len(labeled), 1), np.float32)], axis=1)
        scale = mean_squared_norm(self.view(Shelf(1), None, 0, labeled).embeddings)
        return fitter_for(_SETTINGS[self._kind]).fit(features, self.classes[labeled], labels, scale)

    def _stored(self, inputs: Inputs) -> Head:
        """Returns the head of the inputs: fit and stored by the first who asks.

        Fit by each process it would differ in its last bits, and so would the samples that are drawn from it.
        """
        if self._kind is HeadKind.DIRICHLET:
            return self.fit(inputs.labeled)
        tensors, description = inputs.head_path.with_suffix(".safetensors"), inputs.head_path.with_suffix(".json")
        if not description.exists():
            parts = head_to_bytes(self.fit(inputs.labeled))
            tensors.write_bytes(parts[0])
            description.write_text(parts[1], encoding="utf-8")
        return head_from_bytes(tensors.read_bytes(), description.read_text(encoding="utf-8"))
