"""Views of matrices in memory: what the selector shows an acquisition function, without a pool store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from services.pools import Item
from services.selector.heads import Head, LogisticFitter, LogisticHead, LogisticSettings
from services.selector.scoring import PoolView, Products, Seen, Shelf

# As the service does: threads inside products wait for one another where there are a few already.
threadpool_limits(1)

BLOCK_ROWS = 65_536
PRODUCTS = Products(2)


class Matrix:
    """A snapshot of embeddings in memory, float16 as a pool has them unless told otherwise."""

    def __init__(
        self, embeddings: npt.NDArray[np.floating[Any]], incarnation: str = "one", dtype: type = np.float16
    ) -> None:
        self.embeddings: npt.NDArray[Any] = np.ascontiguousarray(embeddings, dtype)
        self.incarnation, self.version = incarnation, len(embeddings)
        self.dimension = embeddings.shape[1]

    def __len__(self) -> int:
        return len(self.embeddings)

    def blocks(self) -> Sequence[npt.NDArray[np.float16]]:
        return [self.embeddings[start : start + BLOCK_ROWS] for start in range(0, len(self), BLOCK_ROWS)]

    def gather(self, rows: npt.ArrayLike) -> npt.NDArray[np.float16]:
        return self.embeddings[np.atleast_1d(np.asarray(rows, np.int64))]

    def rows_of(self, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        return np.array([int(item_id) for item_id in item_ids], np.int64)

    def ids_of(self, rows: npt.ArrayLike) -> list[str]:
        return [str(row) for row in np.atleast_1d(np.asarray(rows, np.int64))]

    def items_of(self, rows: npt.ArrayLike) -> list[Item]:
        return [Item(item_id, item_id) for item_id in self.ids_of(rows)]


def view_of(
    embeddings: npt.NDArray[np.floating[Any]],
    *,
    head: Head | None = None,
    free: npt.ArrayLike | None = None,
    labeled: npt.ArrayLike = (),
    classes: npt.ArrayLike | None = None,
    reserved: npt.ArrayLike = (),
    shelf: Shelf | None = None,
    penalty: float = 0.1,
    head_version: int = 1,
    dtype: type = np.float16,
) -> PoolView:
    """Returns the selector's own view of embeddings (N, D), stored as float16.

    Args:
        embeddings: (N, D).
        head: the head, if there is one.
        free: (N,) flags; by default all that are neither labeled nor reserved.
        labeled: rows with a label, ascending.
        classes: their classes; by default 0, 1, 0, 1, ….
        reserved: rows others hold.
        shelf: what keeps values between calls; by default one of its own.
        penalty: of the head's loss; see `Evidence`.
        head_version: of the head; another one forgets what was kept of it.
        dtype: of the stored embeddings.
    """
    snapshot = Matrix(embeddings, dtype=dtype)
    rows, held = np.asarray(labeled, np.int64), np.asarray(reserved, np.int64)
    if free is None:
        flags = np.ones(len(snapshot), np.bool_)
        flags[rows] = flags[held] = False
    else:
        flags = np.asarray(free, np.bool_)
    norm = float(np.sum(snapshot.embeddings.astype(np.float64) ** 2)) / max(len(snapshot), 1) or 1.0
    return PoolView(
        products=PRODUCTS,
        shelf=shelf or Shelf(1 << 30),
        snapshot=snapshot,
        pool="pool",
        project="project",
        seen=None
        if head is None
        else Seen(head=head, version=head_version, inverse_regularization=norm / penalty, balanced=False),
        free=flags,
        labeled=rows,
        classes=np.arange(len(rows)) % 2 if classes is None else np.asarray(classes, np.int64),
        reserved=held,
    )


def clustered(rows: int, dimension: int, classes: int, seed: int = 0, spread: float = 1.5) -> tuple[Any, Any]:
    """Returns float16 embeddings (N, D) whose classes lie apart, and the classes (N,)."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((classes, dimension))
    numbers = generator.integers(0, classes, rows)
    found = centres[numbers] + spread * generator.standard_normal((rows, dimension))
    return (found / np.sqrt(dimension)).astype(np.float16), numbers


def fitted(embeddings: npt.NDArray[Any], labeled: npt.NDArray[Any], classes: npt.NDArray[Any]) -> LogisticHead:
    """Returns a real LOGISTIC head, fit on labeled rows with C = 10 over mean squared norm 1."""
    features = np.concatenate([embeddings[labeled].astype(np.float32), np.ones((len(labeled), 1), np.float32)], axis=1)
    names = [f"class {number}" for number in range(int(classes.max()) + 1)]
    return LogisticFitter(LogisticSettings()).fit(features, classes, names, 1.0)
