"""A real embedder inside the test's event loop, over real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prepal.v1 import embedder_pb2 as pb
from prepal.v1 import embedder_pb2_grpc

from services.embedder.encoding.options import EncodingOptions
from services.embedder.start import EmbedderOptions, start
from services.serving import Options, running

PATIENCE = 30


class Embedder:
    """A stub, and what tests say with it again and again."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.stub = embedder_pb2_grpc.EmbedderServiceStub(channel)

    async def create(self, name: str, **embeddings: Any) -> pb.Pool:
        request = pb.CreatePoolRequest(name=name, **embeddings)
        return (await self.stub.CreatePool(request, timeout=PATIENCE)).pool

    async def add(self, pool: str, *chunks: Sequence[pb.Item]) -> list[pb.AddItemsResponse]:
        """Sends chunks and returns their acknowledgements."""
        requests = (pb.AddItemsRequest(pool=pool, items=chunk) for chunk in chunks)
        return [answer async for answer in self.stub.AddItems(requests, timeout=PATIENCE)]

    async def items(self, pool: str) -> int:
        return (await self.stub.GetPool(pb.GetPoolRequest(name=pool), timeout=PATIENCE)).pool.items


@asynccontextmanager
async def serving(data: Path, **options: Any) -> AsyncIterator[Embedder]:
    """Runs an embedder over a folder."""
    options.setdefault("encoding", EncodingOptions(engine="torch", precision="float32", device="cpu", threads=2))
    service = await start(EmbedderOptions(data=str(data), **options))
    async with (
        running(service, Options(drain_seconds=0)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Embedder(channel)


def texts(*words: str, start: int = 0) -> list[pb.Item]:
    return [pb.Item(item_id=f"i{number}", text=text) for number, text in enumerate(words, start)]


class Refusal:
    """What a failed call says."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.message = error.details() or ""
        self.reason = ""
        self.fields: list[str] = []
        self.retry = False
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                self.reason = info.reason
            elif detail.Unpack(bad):
                self.fields = [violation.field for violation in bad.field_violations]
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                self.retry = True


async def refused(call: Any) -> Refusal:
    """Awaits a call that must fail and returns what it says."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return Refusal(error)
    raise AssertionError("the call must fail")


async def refused_stream(call: AsyncIterator[Any]) -> tuple[list[Any], Refusal]:
    """Reads a stream that must fail; returns what came before, and what it says."""
    answers = []
    try:
        async for answer in call:
            answers.append(answer)  # noqa: PERF401 - what came before the error is kept
    except grpc.aio.AioRpcError as error:
        return answers, Refusal(error)
    raise AssertionError("the stream must fail")


def chunks_of(items: Iterable[pb.Item], size: int) -> list[list[pb.Item]]:
    rows = list(items)
    return [rows[start : start + size] for start in range(0, len(rows), size)]
