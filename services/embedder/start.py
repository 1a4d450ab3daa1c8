"""Puts the embedder together."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
from prepal.v1 import embedder_pb2, embedder_pb2_grpc

from services.embedder.answers import ERRORS
from services.embedder.batching.encoder import Encoder, EncoderOptions
from services.embedder.encoding.backbones import Backbones
from services.embedder.encoding.engine import Engine
from services.embedder.encoding.loading import EngineKey, load_engine, uses_gpu
from services.embedder.encoding.options import EncodingOptions
from services.embedder.encoding.resolve import Resolved, Wanted
from services.embedder.encoding.tokenizing import Tokenizer
from services.embedder.search.indexes import Indexes
from services.embedder.search.neighbours import limit_threads
from services.embedder.servicer import EmbedderServicer
from services.pools import PoolStore
from services.serving import Service

_BULK_THREADS = 4


class Unfit(Exception):
    """The embedder cannot embed."""


@dataclass(frozen=True, kw_only=True)
class EmbedderOptions:
    """What an embedder is told.

    Attributes:
        data: A folder, or the address of an object store.
        encoding: How backbones are run.
        preload: Backbones that are loaded before the first request.
        backbones: Backbones kept loaded at most, at least 1.
        backbone_bytes: Bytes of weights kept loaded at most.
        interactive_tokens, bulk_tokens: See `EncoderOptions`.
        search_bytes: Bytes of search indexes kept at most.
        max_answer_bytes: The largest message that is sent.
    """

    data: str
    encoding: EncodingOptions = field(default_factory=EncodingOptions)
    preload: tuple[str, ...] = ()
    backbones: int = 4
    backbone_bytes: int = 16 << 30
    interactive_tokens: int = 524_288
    bulk_tokens: int = 4_194_304
    search_bytes: int = 2 << 30
    max_answer_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        """Raises ValueError that names the option, its limit and its value."""
        for name in ("backbones", "backbone_bytes", "interactive_tokens", "bulk_tokens", "search_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")


async def start(options: EmbedderOptions) -> Service:
    """Opens the store, loads what is to be preloaded, and returns the service.

    Raises:
        BackboneNotLoadable: A backbone to be preloaded cannot be.
    """
    encoding = options.encoding
    on_gpu = uses_gpu(encoding)
    limit_threads(encoding.threads)
    store = await asyncio.to_thread(PoolStore, options.data)

    def load(resolved: Resolved, key: EngineKey, tokenizer: Tokenizer) -> Engine:
        return load_engine(resolved.folder.path, key, tokenizer, encoding)

    backbones = Backbones(load, most=options.backbones, most_bytes=options.backbone_bytes)
    encoder = Encoder(
        EncoderOptions(
            workers=encoding.workers(on_gpu=on_gpu),
            tokenizers=min(encoding.threads, 8),
            interactive_tokens=options.interactive_tokens,
            bulk_tokens=options.bulk_tokens,
        )
    )
    bulk = ThreadPoolExecutor(_BULK_THREADS, thread_name_prefix="add")
    for model in options.preload:
        await backbones.get(Wanted(model=model))
    servicer = EmbedderServicer(
        store=store,
        backbones=backbones,
        encoder=encoder,
        indexes=Indexes(options.search_bytes),
        bulk=bulk,
        max_answer_bytes=options.max_answer_bytes,
    )

    def add(server: grpc.aio.Server) -> None:
        embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(servicer, server)

    async def probe() -> None:
        if not encoder.alive():
            raise Unfit("a worker of the embedder does not run")
        await asyncio.to_thread(store.names)

    async def close() -> None:
        def ends() -> None:
            bulk.shutdown()
            encoder.close()
            backbones.close()
            store.close()

        await asyncio.to_thread(ends)

    return Service(
        name="embedder",
        full_name=embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"].full_name,
        add=add,
        errors=ERRORS,
        probe=probe,
        close=close,
    )
