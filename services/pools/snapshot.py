"""A pool as it was at one version, with its embeddings in memory."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from services.pools.index import Index
from services.pools.item import Item
from services.pools.packed import Column


class Snapshot:
    """The first `len(snapshot)` rows of a pool. Stays valid and unchanged while the pool grows.

    Rows are numbered 0 to N - 1 in the order the items were added; a row keeps its number in every later snapshot.
    Successive snapshots share their memory: 2 D bytes an item for the embedding, and what `Index` takes.

    Attributes:
        version: The pool's version; the same version of the same incarnation is the same rows, in any process.
        dimension: D.
        incarnation: The pool's incarnation.
    """

    def __init__(
        self,
        *,
        version: int,
        dimension: int,
        incarnation: str,
        items: int,
        index: Index,
        vectors: Column[np.float16],
        read_items: Callable[[npt.NDArray[np.int64]], list[Item]],
    ) -> None:
        self.version = version
        self.dimension = dimension
        self.incarnation = incarnation
        self._items = items
        self._index = index
        self._vectors = vectors
        self._blocks = vectors.blocks(items)
        self._read_items = read_items

    def __len__(self) -> int:
        return self._items

    def blocks(self) -> Sequence[npt.NDArray[np.float16]]:
        """Returns the embeddings as read-only C-contiguous views of at most 65,536 rows, in order of row. Free."""
        return self._blocks

    def gather(self, rows: npt.ArrayLike) -> npt.NDArray[np.float16]:
        """Returns a copy of the embeddings of rows, shape (n, D), in the order asked.

        Raises:
            IndexError: If a row is not 0 to N - 1.
        """
        return self._vectors.gather(self._checked(rows))

    def rows_of(self, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Returns the rows of ids, shape (n,), -1 for an id that is not in this snapshot (about 1 µs an id)."""
        return self._index.rows_of(item_ids, self._items)

    def ids_of(self, rows: npt.ArrayLike) -> list[str]:
        """Returns the ids of rows, in the order asked (about 1 µs a row).

        Raises:
            IndexError: If a row is not 0 to N - 1.
        """
        return self._index.ids_of(self._checked(rows))

    def items_of(self, rows: npt.ArrayLike) -> list[Item]:
        """Reads the items of rows from the store, in the order asked (about a millisecond for 50).

        Raises:
            IndexError: If a row is not 0 to N - 1.
            PoolNotFound: If the pool was deleted.
            StoreUnavailable: If the store cannot be read.
        """
        return self._read_items(self._checked(rows))

    def _checked(self, rows: npt.ArrayLike) -> npt.NDArray[np.int64]:
        checked = np.atleast_1d(np.asarray(rows, np.int64))
        if checked.size and (checked.min() < 0 or checked.max() >= self._items):
            raise IndexError(
                f"rows must be between 0 and {self._items - 1}, got {int(checked.min())} to {int(checked.max())}"
            )
        return checked
