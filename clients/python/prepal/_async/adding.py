"""Adding any number of items over streams that may break."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import grpc

from prepal import _methods, errors
from prepal._adding import Adding, Chunk, Chunker
from prepal._async.connection import Connection
from prepal._async_transport import AsyncExchange, Source, each
from prepal._retry import Attempts
from prepal.v1 import embedder_pb2
from prepal.values.item import AddItemsResult, Item

_IN_FLIGHT: Final = 4
"""Chunks sent and not yet acknowledged: enough for the service to embed one while others travel."""

_LONGEST_STREAM: Final = 60.0
"""Seconds after which a stream takes no further chunk and a new one is opened, so that a long call spreads over the
replicas there are, and every stream has a deadline."""

_Exchange = AsyncExchange[embedder_pb2.AddItemsRequest, embedder_pb2.AddItemsResponse]


async def add_items(
    embedder: Connection,
    pool: str,
    items: Source[Item],
    *,
    chunk_size: int,
    timeout: float,
    on_result: Callable[[AddItemsResult], None],
) -> AddItemsResult:
    """Adds items; see `Client.add_items`."""
    adding = Adding(pool)
    chunks = _chunks(items, chunk_size)
    attempts = embedder.attempts(timeout)
    more = True
    while more or adding.in_flight:
        stream: _Exchange = embedder.exchange(_methods.ADD_ITEMS, _LONGEST_STREAM + timeout)
        adding.stream_opened()
        opened = asked = time.monotonic()
        # However late it is, every stream takes something, or nothing would ever be sent on a slow machine.
        used = bool(adding.in_flight)
        try:
            for chunk in adding.in_flight:
                await stream.write(adding.request(chunk))
            while True:
                while (
                    more
                    and len(adding.in_flight) < _IN_FLIGHT
                    and (not used or time.monotonic() - opened < _LONGEST_STREAM)
                ):
                    fresh = await anext(chunks, None)
                    if fresh is None:
                        more = False
                        break
                    adding.in_flight.append(fresh)
                    await stream.write(adding.request(fresh))
                    used = True
                if not adding.in_flight:
                    break
                asked = time.monotonic()
                ack = await stream.read()
                if ack is None:
                    raise errors.Unavailable(
                        f"the {embedder.service} at {embedder.address} ended AddItems before it had acknowledged all",
                        status="UNAVAILABLE",
                    )
                embedder.reached()
                attempts = embedder.attempts(timeout)
                on_result(adding.acknowledge(ack))
            await _finish(stream)
        except grpc.RpcError as failed:
            error = embedder.error(failed, "AddItems", timeout)
            if isinstance(error, errors.DeadlineExceeded) and time.monotonic() - asked < timeout:
                # The items came so slowly that the stream's time was over; the service is not to blame.
                continue
            await _go_on(embedder, attempts, adding, error)
        except errors.Unavailable as ended:
            await _go_on(embedder, attempts, adding, ended)
        finally:
            stream.cancel()
    return adding.result


async def _chunks(items: Source[Item], chunk_size: int) -> AsyncIterator[Chunk]:
    """Yields the items in chunks, as they come."""
    chunker = Chunker(chunk_size)
    async for item in each(items):
        chunk = chunker.add(item)
        if chunk is not None:
            yield chunk
    rest = chunker.rest()
    if rest is not None:
        yield rest


async def _finish(stream: _Exchange) -> None:
    """Ends a stream on which everything is acknowledged; how it ends no longer matters."""
    await stream.done_writing()
    try:
        await stream.read()
    except grpc.RpcError:
        return


async def _go_on(embedder: Connection, attempts: Attempts, adding: Adding, error: errors.PrepalError) -> None:
    """Waits until a new stream may be opened, or raises the error, saying what is safe already."""
    try:
        await embedder.wait(attempts, error)
    except errors.PrepalError:
        done = adding.result.acknowledged
        if done:
            error.add_note(
                f"{done:,} items were acknowledged before; those accepted are safe, and adding all again is safe too"
            )
        raise
