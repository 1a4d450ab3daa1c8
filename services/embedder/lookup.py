"""Items of a pool, by likeness and by id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from prepal.v1 import embedder_pb2 as pb

from services.embedder.errors import AnswerTooLarge, ItemNotFound
from services.embedder.messages import found_messages, item_message
from services.embedder.search.indexes import Indexes
from services.pools import Pool


class Lookup:
    """Finds items. Blocks: its methods read the store and compute.

    Args:
        indexes: What searches.
        max_bytes: The largest answer.
    """

    def __init__(self, indexes: Indexes, max_bytes: int) -> None:
        self._indexes = indexes
        self._max_bytes = max_bytes

    def search(self, pool: Pool, query: npt.NDArray[np.floating] | str, k: int) -> pb.SearchItemsResponse:
        """Returns the k items nearest to a vector of shape (D,), or to an item by id, which is not among them.

        Raises:
            ItemNotFound: The id is not in the pool.
            AnswerTooLarge: The items do not fit a message.
        """
        snapshot = pool.snapshot()
        own = -1
        if isinstance(query, str):
            own = int(snapshot.rows_of([query])[0])
            if own < 0:
                raise ItemNotFound(pool.definition.name, query)
        vector = snapshot.gather([own])[0] if isinstance(query, str) else query
        similarities, rows = self._indexes.search(snapshot, vector, k + (own >= 0))
        others = np.flatnonzero(rows != own)[:k]
        response = pb.SearchItemsResponse(
            items=found_messages(snapshot.items_of(rows[others]), similarities[others].tolist()),
            pool_version=snapshot.version,
        )
        self._check_size(response.ByteSize(), "a smaller k")
        return response

    def get(self, pool: Pool, item_ids: Sequence[str], include_embeddings: bool) -> pb.GetItemsResponse:
        """Returns items in the order asked, and the ids that are not there.

        Raises:
            AnswerTooLarge: The items do not fit a message.
        """
        taken = pool.take(item_ids)
        items = [item for item in taken if item is not None]
        if include_embeddings:
            self._check_size(2 * len(items) * pool.definition.dimension, "fewer item_ids")
            vectors = pool.vectors([item.item_id for item in items])
            found = [item_message(item, vector) for item, vector in zip(items, vectors, strict=True)]
        else:
            found = [item_message(item) for item in items]
        missing = [item_id for item_id, item in zip(item_ids, taken, strict=True) if item is None]
        response = pb.GetItemsResponse(items=found, missing_ids=missing)
        self._check_size(response.ByteSize(), "fewer item_ids")
        return response

    def _check_size(self, size: int, remedy: str) -> None:
        if size > self._max_bytes:
            raise AnswerTooLarge(
                f"the answer would have {size:,} bytes, but a message at most {self._max_bytes:,}; ask with {remedy}"
            )
