"""The calls about the items of a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from numpy.typing import ArrayLike

from prepal import _methods
from prepal._async.adding import add_items
from prepal._async.connection import LOADING, Connection
from prepal._async_transport import Source
from prepal.progress import Bar, length_of
from prepal.v1 import embedder_pb2
from prepal.values.item import AddItemsResult, FetchedItems, FoundItem, Item, item_from_message, vector_to_message
from prepal.values.numbers import count
from prepal.values.pool import Text, text_to_message

_IDS_A_CALL: Final = 10_000
_EMBEDDINGS_A_CALL: Final = 1_000


class ItemCalls:
    """What a client can do with the items of a pool."""

    _embedder: Connection

    async def add_items(
        self,
        pool: str,
        items: Source[Item],
        *,
        on_progress: Callable[[AddItemsResult], None] | None = None,
        progress: bool | None = False,
        chunk_size: int = 512,
        timeout: float | None = None,
    ) -> AddItemsResult:
        """Adds items to a pool and embeds them.

        Items are taken from the iterable as they can be sent, so a generator of any length needs little memory. When
        the connection breaks, a new one is opened and what was not acknowledged is sent again; what was acknowledged
        is durable. Adding items that are there already changes nothing. An item that cannot be taken is rejected
        alone.

        Args:
            pool: the pool's name.
            items: the items.
            on_progress: called after each acknowledged chunk with the totals so far.
            progress: whether a bar is shown on stderr; None shows one if stderr is a terminal.
            chunk_size: items sent and acknowledged together, 1 to 2,000.
            timeout: seconds without any acknowledgement after which the call gives up; by default 600, since the
                first chunk may have to wait for the backbone.

        Raises:
            NotFound: when there is no such pool.
            Unavailable: when the connection broke and stayed broken; a note says how many items were acknowledged.
            TypeError, ValueError: for an item that cannot be sent, named in the message.

        >>> texts = {"r1": "a fine film", "r2": "a dull one", "r3": "what a joy", "r4": "what a bore"}
        >>> result = await client.add_items("reviews", (Item(id, text) for id, text in texts.items()))
        >>> result.accepted
        4
        """
        seconds = self._embedder.seconds(timeout, LOADING)
        with Bar(progress, pool, "items", total=length_of(items)) as bar:

            def on_result(result: AddItemsResult) -> None:
                bar.to(result.acknowledged)
                if on_progress is not None:
                    on_progress(result)

            return await add_items(
                self._embedder,
                pool,
                items,
                chunk_size=chunk_size,
                timeout=seconds,
                on_result=on_result,
            )

    async def get_items(
        self, pool: str, ids: Iterable[str], *, embeddings: bool = False, timeout: float | None = None
    ) -> FetchedItems:
        """Returns items by id, in the order asked; `missing` names the ids that are not in the pool.

        Args:
            pool: the pool's name.
            ids: any number of ids.
            embeddings: whether each item carries its embedding, float16, shape (D,).
            timeout: seconds for each 10,000 ids (1,000 with embeddings); by default 60.

        Raises:
            NotFound: when there is no such pool.

        >>> fetched = await client.get_items("reviews", ["r2", "r9"])
        >>> [item.text for item in fetched], fetched.missing
        (['a dull one'], ('r9',))
        """
        wanted = list(ids)
        step = _EMBEDDINGS_A_CALL if embeddings else _IDS_A_CALL
        items: list[Item] = []
        missing: list[str] = []
        for start in range(0, len(wanted), step):
            request = embedder_pb2.GetItemsRequest(
                pool=pool, item_ids=wanted[start : start + step], include_embeddings=embeddings
            )
            response = await self._embedder.call(_methods.GET_ITEMS, request, timeout)
            items += (item_from_message(item) for item in response.items)
            missing += response.missing_ids
        return FetchedItems(items=tuple(items), missing=tuple(missing))

    async def search_items(
        self,
        pool: str,
        text: Text | None = None,
        *,
        item: str | None = None,
        vector: ArrayLike | None = None,
        k: int = 10,
        timeout: float | None = None,
    ) -> list[FoundItem]:
        """Returns the items of a pool nearest to a text, an item or a vector, nearest first, by cosine similarity.

        Args:
            pool: the pool's name.
            text: what the items are compared with: a text, or (text, text_pair) in a pool of pairs.
            item: or the id of an item of the pool, which is not among the results.
            vector: or a vector, shape (D,).
            k: items wanted, 1 to 1,000.
            timeout: seconds; by default 600, since the backbone may have to be loaded.

        Raises:
            NotFound: when there is no such pool or item.
            FailedPrecondition: for a text in a pool of the client's own embeddings.
            InvalidRequest: for k out of range, or a vector of another length.
            ValueError: unless exactly one of text, item and vector is given.

        >>> [found.item.id for found in await client.search_items("reviews", "boring", k=1)]
        ['r2']
        """
        if sum(query is not None for query in (text, item, vector)) != 1:
            raise ValueError("search_items needs exactly one of text, item and vector")
        if k == 0:
            raise ValueError("k must be between 1 and 1000, got 0")
        request = embedder_pb2.SearchItemsRequest(pool=pool, k=count("k", k))
        if text is not None:
            request.text.CopyFrom(text_to_message(text))
        elif item is not None:
            request.item_id = item
        elif vector is not None:
            request.vector.CopyFrom(vector_to_message(vector))
        response = await self._embedder.call(_methods.SEARCH_ITEMS, request, timeout, LOADING)
        return [FoundItem(item=item_from_message(found.item), similarity=found.similarity) for found in response.items]
