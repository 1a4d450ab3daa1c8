"""What one `add_items` has sent and what was acknowledged: chunks in flight, and the running totals."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from prepal import errors
from prepal.v1 import embedder_pb2
from prepal.values.item import AddItemsResult, Item, RejectedItem, item_to_message

MOST_ITEMS: Final = 2_000
"""Items a chunk may hold by the contract."""

_MOST_BYTES: Final = 2 * 2**20
"""Bytes after which a chunk is closed, so that it stays below gRPC's usual message limit of 4 MiB."""


@dataclass(slots=True)
class Chunk:
    """Some consecutive items. `start` is the first one's position in all that is added."""

    start: int
    items: list[embedder_pb2.Item] = field(default_factory=list)
    size: int = 0


class Chunker:
    """Cuts items into chunks of at most `chunk_size` items and some 2 MiB."""

    def __init__(self, chunk_size: int) -> None:
        if not 1 <= chunk_size <= MOST_ITEMS:
            raise ValueError(f"chunk_size must be between 1 and {MOST_ITEMS:,}, got {chunk_size}")
        self._chunk_size = chunk_size
        self._open = Chunk(0)

    def add(self, item: Item) -> Chunk | None:
        """Takes an item; returns a chunk when one is complete.

        Raises:
            TypeError: when it is not an item.
            ValueError: when it cannot be sent.
        """
        message = item_to_message(item)
        size = message.ByteSize()
        complete = None
        if self._open.items and (len(self._open.items) == self._chunk_size or self._open.size + size > _MOST_BYTES):
            complete = self.rest()
        self._open.items.append(message)
        self._open.size += size
        return complete

    def rest(self) -> Chunk | None:
        """Closes and returns the chunk that is being filled; None when it is empty."""
        chunk = self._open
        self._open = Chunk(chunk.start + len(chunk.items))
        return chunk if chunk.items else None


class Adding:
    """The chunks in flight and the totals of one `add_items`."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._acknowledged = 0
        self.in_flight: deque[Chunk] = deque()
        self.result = AddItemsResult()

    def request(self, chunk: Chunk) -> embedder_pb2.AddItemsRequest:
        """Returns a chunk's message; each names the pool, since each may be the first of a stream."""
        return embedder_pb2.AddItemsRequest(pool=self._pool, items=chunk.items)

    def stream_opened(self) -> None:
        """Notes that a new stream begins: the service counts its chunks from 0."""
        self._acknowledged = 0

    def acknowledge(self, ack: embedder_pb2.AddItemsResponse) -> AddItemsResult:
        """Takes the acknowledgement of the oldest chunk in flight; returns the new totals.

        Raises:
            Internal: when it is that of another chunk, so that nobody could say what is durable.
        """
        if ack.chunk != self._acknowledged:
            raise errors.Internal(f"the embedder acknowledged chunk {ack.chunk}, where {self._acknowledged} was next")
        self._acknowledged += 1
        chunk = self.in_flight.popleft()
        before = self.result
        rejected = [
            RejectedItem(index=chunk.start + item.index, item_id=item.item_id, reason=item.reason, message=item.message)
            for item in ack.rejected
        ]
        self.result = AddItemsResult(
            accepted=before.accepted + ack.accepted,
            already_there=before.already_there + ack.already_there,
            rejected=(*before.rejected, *rejected) if rejected else before.rejected,
            truncated=before.truncated + ack.truncated,
            pool_items=ack.pool_items,
        )
        return self.result
