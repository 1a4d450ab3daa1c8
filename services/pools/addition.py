"""What one caller appends, checked and packed on the caller's own thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.pools.index import Index
from services.pools.item import Item
from services.pools.schema import pack_items

_EXPONENT: Final = np.uint16(0x7C00)


@dataclass(frozen=True, slots=True)
class Addition:
    """Packed items and their embeddings, shape (n, D)."""

    items: pa.Table
    embeddings: npt.NDArray[np.float16]

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return int(self.items.nbytes) + self.embeddings.nbytes


def pack(items: Sequence[Item], embeddings: npt.NDArray[np.float16], dimension: int) -> Addition:
    """Checks and packs items with their embeddings.

    Raises:
        ValueError: If an id is empty, an id or text is no Unicode text, or the embeddings are not float16 of shape
            (n, dimension) and finite.
    """
    shape = (len(items), dimension)
    if embeddings.dtype != np.float16 or embeddings.shape != shape:
        raise ValueError(
            f"embeddings must be float16 of shape {shape}, got {embeddings.dtype} of shape {embeddings.shape}"
        )
    embeddings = np.ascontiguousarray(embeddings)
    # All bits of the exponent are set: an infinity or NaN.
    infinite = (embeddings.view(np.uint16) & _EXPONENT) == _EXPONENT
    if infinite.any():
        row = int(np.flatnonzero(infinite.any(axis=1))[0])
        raise ValueError(f"embeddings must be finite, got a NaN or an infinity for {items[row].item_id!r}")
    if not all(item.item_id for item in items):
        raise ValueError("item_id must not be empty")
    return Addition(pack_items(items), embeddings)


def joined(group: Sequence[Addition], index: Index) -> tuple[pa.Table, npt.NDArray[np.float16]]:
    """Returns the items and embeddings of a group, without those that the index knows or that come again."""
    items = pa.concat_tables([addition.items for addition in group])
    embeddings = np.concatenate([addition.embeddings for addition in group])
    ids = items["item_id"].to_pylist()
    first = {item_id: number for number, item_id in reversed(list(enumerate(ids)))}
    known = (index.rows_of(ids) >= 0).tolist()
    kept = [number for number, item_id in enumerate(ids) if not known[number] and first[item_id] == number]
    if len(kept) == len(ids):
        return items, embeddings
    return items.take(pa.array(kept, pa.int64())), embeddings[kept]
