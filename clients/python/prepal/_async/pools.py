"""The calls about pools, and embedding without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prepal import _methods, tensors
from prepal._async.connection import LOADING, Connection
from prepal.v1 import embedder_pb2
from prepal.values.numbers import count
from prepal.values.pool import Pool, Text, backbone_to_message, pool_from_message, text_to_message

_TEXTS_A_CALL: Final = 256


class PoolCalls:
    """What a client can do with pools."""

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
        response = await self._embedder.call(_methods.CREATE_POOL, request, timeout, LOADING)
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

        >>> vectors = await client.embed(["a fine film", "a dull one"])
        >>> vectors.shape
        (2, 384)
        """
        if isinstance(texts, str) or not texts:
            raise ValueError("texts must be a list of at least one text")
        model = backbone_to_message(backbone, pooling=pooling, max_length=max_length, normalize=normalize, pairs=pairs)
        blocks: list[NDArray[np.float32]] = []
        for start in range(0, len(texts), _TEXTS_A_CALL):
            inputs = [text_to_message(text) for text in texts[start : start + _TEXTS_A_CALL]]
            request = embedder_pb2.EmbedRequest(backbone=model, inputs=inputs)
            response = await self._embedder.call(_methods.EMBED, request, timeout, LOADING)
            blocks.append(tensors.unpack(response.embeddings).astype(np.float32, copy=False))
        return np.concatenate(blocks)
