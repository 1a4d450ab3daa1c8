"""The calls about pools and items."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prepal import _methods, tensors
from prepal._async.adding import add_items
from prepal._async.connection import Connection
from prepal._async_transport import Source
from prepal.progress import Bar, length_of
from prepal.v1 import embedder_pb2
from prepal.values.item import (
    AddItemsResult,
    FetchedItems,
    FoundItem,
    Item,
    item_from_message,
    vector_to_message,
)
from prepal.values.numbers import count
from prepal.values.pool import Pool, Text, backbone_to_message, pool_from_message, text_to_message

_LOADING: Final = 600.0
"""Seconds for a call that may load a backbone, or download it, the first time."""

_TEXTS_A_CALL: Final = 256
_IDS_A_CALL: Final = 10_000
_EMBEDDINGS_A_CALL: Final = 1_000


class PoolCalls:
    """What a client can do with pools and items."""

    _embedder: Connection

    async def create_pool(
        self,
        name: str,
        *,
        backbone: str | None = None,
        dimension: int | None = None,
        pooling: str | None = None,
        max_length: int | None = None,
        normalize: bool | None = None,
        pairs: str | None = None,
        timeout: float | None = None,
    ) -> Pool:
        """Creates an empty pool; the same call again returns the pool that is there.

        Args:
            name: 1 to 128 of a-z A-Z 0-9 . _ -, beginning with a letter or digit.
            backbone: what embeds the items: "minilm", a Hugging Face id, or a folder the server can read.
            dimension: instead of a backbone: items bring their own embeddings of this length, 1 to 16,384.
            pooling: "mean", "cls" or "last_token"; by default what the backbone's folder says, else the mean.
            max_length: tokens kept of a text; by default the model's own.
            normalize: whether vectors are scaled to unit length; by default what the backbone's folder says.
            pairs: for items with a text_pair: "joint" (both texts in one sequence), "compare" or "full" (the two
                texts' own embeddings, combined; better for a frozen sentence encoder), or "auto" (the server chooses).
            timeout: seconds; by default 600, since a backbone may have to be downloaded.

        Raises:
            AlreadyExists: when a pool of that name has another definition.
            FailedPrecondition: when the backbone cannot be loaded, with what was tried.
            InvalidRequest: for a bad name or number.
            ValueError: for neither or both of backbone and dimension, or an unknown choice.

        >>> pool = await client.create_pool("reviews", backbone="minilm")
        >>> pool.dimension
        384
        """
        request = embedder_pb2.CreatePoolRequest(name=name)
        if (backbone is None) == (dimension is None):
            raise ValueError("a pool needs either a backbone, or the dimension of embeddings that its items bring")
        if backbone is not None:
            request.backbone.CopyFrom(
                backbone_to_message(backbone, pooling=pooling, max_length=max_length, normalize=normalize, pairs=pairs)
            )
        elif any(option is not None for option in (pooling, max_length, normalize, pairs)):
            raise ValueError("pooling, max_length, normalize and pairs belong to a backbone; leave them out")
        else:
            request.dimension = count("dimension", dimension)
        response = await self._embedder.call(_methods.CREATE_POOL, request, timeout, _LOADING)
        return pool_from_message(response.pool)

    async def get_pool(self, name: str, *, timeout: float | None = None) -> Pool:
        """Returns a pool.

        Raises:
            NotFound: when there is none of that name.
        """
        request = embedder_pb2.GetPoolRequest(name=name)
        response = await self._embedder.call(_methods.GET_POOL, request, timeout)
        return pool_from_message(response.pool)

    async def pools(self, *, page_size: int = 0, timeout: float | None = None) -> AsyncIterator[Pool]:
        """Yields all pools in order of name, fetching a page of them at a time.

        Args:
            page_size: pools a page, 1 to 1,000; 0 means the server's choice.
            timeout: seconds for each page; by default 60.
        """
        token = ""
        while True:
            request = embedder_pb2.ListPoolsRequest(page_size=count("page_size", page_size), page_token=token)
            response = await self._embedder.call(_methods.LIST_POOLS, request, timeout)
            for pool in response.pools:
                yield pool_from_message(pool)
            token = response.next_page_token
            if not token:
                return

    async def delete_pool(self, name: str, *, timeout: float | None = None) -> bool:
        """Deletes a pool with its items and embeddings; returns whether there was one.

        Projects over the pool keep their labels.
        """
        request = embedder_pb2.DeletePoolRequest(name=name)
        response = await self._embedder.call(_methods.DELETE_POOL, request, timeout)
        return response.deleted

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

        >>> result = await client.add_items("reviews", [Item("r1", "a fine film"), Item("r2", "a dull one")])
        >>> result.accepted
        2
        """
        seconds = self._embedder.seconds(timeout, _LOADING)
        with Bar(progress, pool, "items", total=length_of(items)) as bar:

            def on_result(result: AddItemsResult) -> None:
                bar.to(result.acknowledged)
                if on_progress is not None:
                    on_progress(result)

            return await add_items(
                self._embedder, pool, items, chunk_size=chunk_size, timeout=seconds, on_result=on_result
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
        response = await self._embedder.call(_methods.SEARCH_ITEMS, request, timeout, _LOADING)
        return [FoundItem(item=item_from_message(found.item), similarity=found.similarity) for found in response.items]

    async def embed(
        self,
        texts: Sequence[Text],
        *,
        backbone: str = "minilm",
        pooling: str | None = None,
        max_length: int | None = None,
        normalize: bool | None = None,
        pairs: str | None = None,
        timeout: float | None = None,
    ) -> NDArray[np.float32]:
        """Embeds texts and stores nothing.

        Args:
            texts: one or more texts, or pairs of texts with `pairs`.
            backbone: what embeds them; see `create_pool`, also for the other options.
            pooling: how token states become one vector.
            max_length: tokens kept of a text.
            normalize: whether vectors are scaled to unit length.
            pairs: how a pair of texts is embedded.
            timeout: seconds for each 256 texts; by default 600, since the backbone may have to be loaded.

        Returns:
            float32, shape (len(texts), D), in the order of the texts.

        Raises:
            FailedPrecondition: when the backbone cannot be loaded, with what was tried.
            InvalidRequest: for an empty or far too long text.
            ValueError: for no text at all.

        >>> (await client.embed(["a fine film", "a dull one"])).shape
        (2, 384)
        """
        if isinstance(texts, str) or not texts:
            raise ValueError("texts must be a list of at least one text")
        model = backbone_to_message(backbone, pooling=pooling, max_length=max_length, normalize=normalize, pairs=pairs)
        blocks: list[NDArray[np.float32]] = []
        for start in range(0, len(texts), _TEXTS_A_CALL):
            inputs = [text_to_message(text) for text in texts[start : start + _TEXTS_A_CALL]]
            request = embedder_pb2.EmbedRequest(backbone=model, inputs=inputs)
            response = await self._embedder.call(_methods.EMBED, request, timeout, _LOADING)
            blocks.append(tensors.unpack(response.embeddings).astype(np.float32, copy=False))
        return np.concatenate(blocks)
