"""EmbedderService: checks requests, calls what does the work, and translates."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt
from prepal.tensors import pack
from prepal.v1 import embedder_pb2 as pb
from prepal.v1 import embedder_pb2_grpc

from services.embedder import messages
from services.embedder.adding.adder import Adder
from services.embedder.adding.stream import AddStream
from services.embedder.batching.encoder import Encoder
from services.embedder.batching.queue import Urgency
from services.embedder.catalog import Catalog
from services.embedder.encoding.backbones import Backbones
from services.embedder.errors import EncodingFailed, PoolHasNoBackbone
from services.embedder.lookup import Lookup
from services.embedder.pool_backbones import backbone_of
from services.embedder.search.indexes import Indexes
from services.pools import PoolDefinition, PoolStore
from services.serving import Checks, page

MAX_DIMENSION: Final = 16_384
MAX_INPUTS: Final = 1_024
MAX_FOUND: Final = 1_000
MAX_IDS: Final = 10_000
_FOUND: Final = 10
_PAGE: Final = 100
_MAX_PAGE: Final = 1_000

Context = grpc.aio.ServicerContext[Any, Any]


class EmbedderServicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Answers EmbedderService.

    Args:
        store: The pools.
        backbones: What embeds.
        encoder: Runs it.
        indexes: What searches.
        bulk: Threads of AddItems.
        max_answer_bytes: The largest message that is sent.
    """

    def __init__(
        self,
        *,
        store: PoolStore,
        backbones: Backbones,
        encoder: Encoder,
        indexes: Indexes,
        bulk: Executor,
        max_answer_bytes: int,
    ) -> None:
        self._store = store
        self._backbones = backbones
        self._encoder = encoder
        self._bulk = bulk
        self._catalog = Catalog(store)
        self._lookup = Lookup(indexes, max_answer_bytes)

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        """Embeds texts and stores nothing."""
        deadline = _deadline(context)
        checks = Checks()
        wanted = messages.wanted_backbone(request.backbone, checks)
        checks.between("inputs", len(request.inputs), 1, MAX_INPUTS)
        checks.done()
        pairs = wanted.choose_pair_mode or wanted.pair_mode is not None
        texts = [
            messages.text_of(f"inputs[{index}]", one, pairs=pairs, checks=checks)
            for index, one in enumerate(request.inputs)
        ]
        checks.done()
        backbone = await self._backbones.get(wanted)
        encoded = await self._encoder.encode(backbone, texts, Urgency.INTERACTIVE, deadline)
        if encoded.failed:
            raise EncodingFailed(*min(encoded.failed.items()))
        return pb.EmbedResponse(
            embeddings=pack(encoded.vectors),
            fingerprint=backbone.fingerprint,
            truncated=int(encoded.truncated.sum()),
        )

    async def CreatePool(self, request: pb.CreatePoolRequest, context: Context) -> pb.CreatePoolResponse:
        """Creates an empty pool, or returns the one of the same definition."""
        del context
        checks = Checks()
        checks.name("name", request.name)
        given = request.WhichOneof("embeddings")
        wanted = None
        if given == "backbone":
            wanted = messages.wanted_backbone(request.backbone, checks)
        elif given == "dimension":
            checks.between("dimension", request.dimension, 1, MAX_DIMENSION)
        else:
            checks.refuse(
                "backbone",
                "backbone must be given, or dimension for items that bring their own embeddings; got neither",
            )
        checks.done()
        incarnation = uuid.uuid4().hex
        backbone = await self._backbones.get(wanted) if wanted else None
        if backbone:
            checks.between("dimension", backbone.dimension, 1, MAX_DIMENSION)
            checks.done()
        definition = PoolDefinition(
            name=request.name,
            backbone=backbone.definition if backbone else None,
            # Embeddings of the client's own are comparable with those of the same pool only.
            fingerprint=backbone.fingerprint if backbone else f"own-{incarnation[:12]}",
            dimension=backbone.dimension if backbone else request.dimension,
            created_at=datetime.now(UTC),
            incarnation=incarnation,
        )
        return pb.CreatePoolResponse(pool=await asyncio.to_thread(self._catalog.create, definition))

    async def GetPool(self, request: pb.GetPoolRequest, context: Context) -> pb.GetPoolResponse:
        """Returns one pool."""
        del context
        checks = Checks()
        checks.name("name", request.name)
        checks.done()
        return pb.GetPoolResponse(pool=await asyncio.to_thread(self._catalog.show, request.name))

    async def ListPools(self, request: pb.ListPoolsRequest, context: Context) -> pb.ListPoolsResponse:
        """Lists pools a page at a time."""
        del context
        names = await asyncio.to_thread(self._store.names)
        found, token = page(
            names, lambda name: name, request.page_size, request.page_token, default=_PAGE, limit=_MAX_PAGE
        )
        return pb.ListPoolsResponse(pools=await asyncio.to_thread(self._catalog.show_all, found), next_page_token=token)

    async def DeletePool(self, request: pb.DeletePoolRequest, context: Context) -> pb.DeletePoolResponse:
        """Deletes a pool."""
        del context
        checks = Checks()
        checks.name("name", request.name)
        checks.done()
        return pb.DeletePoolResponse(deleted=await asyncio.to_thread(self._store.delete, request.name))

    async def AddItems(
        self, requests: AsyncIterator[pb.AddItemsRequest], context: Context
    ) -> AsyncIterator[pb.AddItemsResponse]:
        """Adds items a chunk at a time."""
        deadline = _deadline(context)

        async def open_adder(name: str) -> Adder:
            pool = await asyncio.to_thread(self._store.open, name)
            backbone = await backbone_of(self._backbones, pool.definition)
            return Adder(pool, backbone, self._encoder, self._bulk, deadline)

        chunk = 0
        async for answer in AddStream(requests, open_adder).acknowledgements():
            yield messages.acknowledgement_message(chunk, answer)
            chunk += 1

    async def SearchItems(self, request: pb.SearchItemsRequest, context: Context) -> pb.SearchItemsResponse:
        """Returns the items nearest to a text, an item or a vector."""
        checks = Checks()
        checks.name("pool", request.pool)
        checks.between("k", request.k, 0, MAX_FOUND)
        given = request.WhichOneof("query")
        if given is None:
            checks.refuse("query", "query must be given: a text, an item_id or a vector; got none")
        elif given == "item_id":
            checks.not_empty("item_id", request.item_id)
        checks.done()
        k = request.k or _FOUND
        pool = await asyncio.to_thread(self._store.open, request.pool)
        if given == "text":
            vector = await self._embed_query(pool.definition, request.text, _deadline(context))
        elif given == "vector":
            vector = messages.vector_of("vector", request.vector, pool.definition.dimension)
        else:
            vector = None
        return await asyncio.to_thread(self._lookup.search, pool, request.item_id if vector is None else vector, k)

    async def GetItems(self, request: pb.GetItemsRequest, context: Context) -> pb.GetItemsResponse:
        """Returns items by id."""
        del context
        checks = Checks()
        checks.name("pool", request.pool)
        checks.between("item_ids", len(request.item_ids), 1, MAX_IDS)
        checks.done()
        pool = await asyncio.to_thread(self._store.open, request.pool)
        return await asyncio.to_thread(self._lookup.get, pool, list(request.item_ids), request.include_embeddings)

    async def _embed_query(
        self, definition: PoolDefinition, query: pb.TextInput, deadline: float | None
    ) -> npt.NDArray[np.float32]:
        if definition.backbone is None:
            raise PoolHasNoBackbone(definition.name)
        checks = Checks()
        text = messages.text_of("text", query, pairs=definition.backbone.pair_mode is not None, checks=checks)
        checks.done()
        backbone = await backbone_of(self._backbones, definition)
        assert backbone is not None  # noqa: S101 - the pool has one
        encoded = await self._encoder.encode(backbone, [text], Urgency.INTERACTIVE, deadline)
        if encoded.failed:
            checks.refuse("text", f"text cannot be embedded: {encoded.failed[0]}")
            checks.done()
        vector: npt.NDArray[np.float32] = encoded.vectors[0]
        return vector


def _deadline(context: Context) -> float | None:
    """Returns when the client stops waiting, on the clock of `time.monotonic`."""
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left
