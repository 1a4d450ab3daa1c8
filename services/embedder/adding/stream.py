"""One stream of chunks: read ahead, prepared side by side, committed and acknowledged in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from prepal.v1 import embedder_pb2

from services.embedder.adding.adder import Acknowledgement, Adder, Prepared
from services.embedder.batching.permits import Permits
from services.embedder.errors import ChunkTooLarge
from services.serving import Checks, shown

MAX_ITEMS: Final = 2_000
# Read ahead of the acknowledgements: enough for a full window of short texts, little enough for memory.
_AHEAD_ITEMS: Final = 8 * MAX_ITEMS
_AHEAD_BYTES: Final = 32 * 1024 * 1024
_AHEAD_CHUNKS: Final = 64
_UNITS: Final = 1 << 20

Opener = Callable[[str], Awaitable[Adder]]


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """A place in the line of chunks.

    Attributes:
        preparing: The chunk at work; None at the end of the stream.
        weight: What it holds of the permits to read ahead.
        error: What ends the stream here.
    """

    preparing: asyncio.Task[Prepared] | None = None
    weight: int = 0
    error: Exception | None = None


class AddStream:
    """Adds a stream's chunks; iterate over `acknowledgements` once.

    Args:
        requests: The chunks; they are read ahead of the acknowledgements by a bounded amount.
        opener: Gives the adder of a pool by name; asked once, with the first chunk.
    """

    def __init__(self, requests: AsyncIterator[embedder_pb2.AddItemsRequest], opener: Opener) -> None:
        self._requests = requests
        self._opener = opener
        self._adder: Adder | None = None
        self._ahead = Permits(_UNITS)
        self._line: deque[_Entry] = deque()
        self._arrived = asyncio.Event()

    async def acknowledgements(self) -> AsyncIterator[Acknowledgement]:
        """Yields what became of each chunk, in order, after it is durable.

        What is wrong with a chunk as a whole ends the stream, after the chunks before it are acknowledged. Chunks that
        are ready at the same time share a commit.

        Raises:
            InvalidRequest, ChunkTooLarge: A chunk as a whole cannot be taken.
            Exception: Whatever opening, embedding or storing raises.
        """
        reading = asyncio.create_task(self._read())
        try:
            while (first := await self._first()).preparing is not None:
                prepared = [await first.preparing]
                weights = [self._line.popleft().weight]
                while (task := self._done()) is not None:
                    prepared.append(task.result())
                    weights.append(self._line.popleft().weight)
                assert self._adder is not None  # noqa: S101 - a chunk is prepared by it
                for weight, answer in zip(weights, await self._adder.commit(prepared), strict=True):
                    self._ahead.give(weight)
                    yield answer
        finally:
            left = [reading, *(entry.preparing for entry in self._line if entry.preparing is not None)]
            for task_left in left:
                task_left.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _first(self) -> _Entry:
        """Waits for the first in line; raises what ends the stream there."""
        while not self._line:
            self._arrived.clear()
            await self._arrived.wait()
        if self._line[0].error is not None:
            raise self._line[0].error
        return self._line[0]

    def _done(self) -> asyncio.Task[Prepared] | None:
        """Returns the first in line when it is prepared, without an error."""
        task = self._line[0].preparing if self._line else None
        return task if task is not None and task.done() and not task.cancelled() and not task.exception() else None

    async def _read(self) -> None:
        pool = ""
        try:
            async for request in self._requests:
                _check_chunk(request, pool)
                weight = _weight(request)
                await self._ahead.take(weight)
                if self._adder is None:
                    pool = request.pool
                    self._adder = await self._opener(pool)
                self._append(_Entry(asyncio.create_task(self._adder.prepare(request.items)), weight))
            self._append(_Entry())
        except Exception as error:  # noqa: BLE001 - it is raised where its chunk's turn comes
            self._append(_Entry(error=error))

    def _append(self, entry: _Entry) -> None:
        self._line.append(entry)
        self._arrived.set()


def _weight(request: embedder_pb2.AddItemsRequest) -> int:
    """Returns a chunk's share of what is read ahead, by whichever limit it takes most of."""
    share = max(len(request.items) / _AHEAD_ITEMS, request.ByteSize() / _AHEAD_BYTES, 1 / _AHEAD_CHUNKS)
    return int(share * _UNITS)


def _check_chunk(request: embedder_pb2.AddItemsRequest, pool: str) -> None:
    """Refuses a chunk that cannot be taken as a whole; `pool` is the stream's, empty before the first chunk."""
    if len(request.items) > MAX_ITEMS:
        raise ChunkTooLarge(len(request.items), MAX_ITEMS)
    checks = Checks()
    if not pool:
        checks.name("pool", request.pool)
    elif request.pool and request.pool != pool:
        checks.refuse(
            "pool", f"pool must stay {shown(pool)} for the whole stream, got {shown(request.pool)}; open another stream"
        )
    if not request.items:
        checks.refuse("items", f"items must be 1 to {MAX_ITEMS:,} in a chunk, got 0; leave empty chunks out")
    checks.done()
