"""Chunks of one stream: checked and embedded as they come, committed in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from prepal.v1 import embedder_pb2

from services.embedder.adding import metrics
from services.embedder.adding.intake import MAX_FLOAT16, Candidate, Rejection, check
from services.embedder.batching.encoder import Encoder
from services.embedder.batching.queue import Urgency
from services.embedder.encoding.backbone import Backbone
from services.pools import Item, Pool, PoolNotFound


@dataclass(slots=True, eq=False)
class Prepared:
    """A chunk whose items are checked and embedded.

    Attributes:
        candidates: What may be taken, in the order of the chunk.
        rejections: What cannot.
        vectors: float16, by position in the chunk; of what was in the pool already there is none.
        failed: Why candidates have no vector, by position in the chunk.
        truncated: Positions in the chunk of texts that were longer than what is kept.
    """

    candidates: list[Candidate]
    rejections: list[Rejection]
    vectors: dict[int, npt.NDArray[np.float16]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    truncated: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What became of a chunk; its items are durable."""

    accepted: int
    already_there: int
    rejections: list[Rejection]
    truncated: int
    pool_items: int


class Adder:
    """Adds chunks to a pool.

    Args:
        pool: Where items go.
        backbone: What embeds them; None where they bring their embeddings.
        encoder: Runs the backbone.
        threads: Where items are checked and committed, so that bulk work keeps nothing else waiting for a thread.
        deadline: When the client stops waiting, on the clock of `time.monotonic`; None for never.
    """

    def __init__(
        self, pool: Pool, backbone: Backbone | None, encoder: Encoder, threads: Executor, deadline: float | None
    ) -> None:
        self._pool = pool
        self._threads = threads
        self._backbone = backbone
        self._encoder = encoder
        self._deadline = deadline

    async def prepare(self, items: Sequence[embedder_pb2.Item]) -> Prepared:
        """Checks a chunk and embeds what is new of it. Several chunks may be prepared at once."""
        prepared, new = await asyncio.get_running_loop().run_in_executor(self._threads, self._check, items)
        if self._backbone is None:
            prepared.vectors = {one.index: one.embedding for one in new if one.embedding is not None}
            return prepared
        encoded = await self._encoder.encode(
            self._backbone, [(one.item.text, one.item.text_pair) for one in new], Urgency.BULK, self._deadline
        )
        with np.errstate(over="ignore"):
            vectors = encoded.vectors.astype(np.float16)
        overflows = set(np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist())
        for row, one in enumerate(new):
            if row in encoded.failed:
                prepared.failed[one.index] = encoded.failed[row]
            elif row in overflows:
                prepared.failed[one.index] = (
                    f"its vector has numbers beyond {MAX_FLOAT16:,}, the largest float16; use a pool with normalize"
                )
            else:
                prepared.vectors[one.index] = vectors[row]
            if encoded.truncated[row]:
                prepared.truncated.add(one.index)
        return prepared

    async def commit(self, chunks: Sequence[Prepared]) -> list[Acknowledgement]:
        """Makes chunks durable, in order and together, and returns what became of each."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._commit, chunks)

    def _check(self, items: Sequence[embedder_pb2.Item]) -> tuple[Prepared, list[Candidate]]:
        begun = time.perf_counter()
        candidates, rejections = check(items, self._pool.definition)
        metrics.CHECK_SECONDS.inc(time.perf_counter() - begun)
        known = self._pool.known([one.item.item_id for one in candidates])
        return Prepared(candidates, rejections), [one for one in candidates if one.item.item_id not in known]

    def _commit(self, chunks: Sequence[Prepared]) -> list[Acknowledgement]:
        begun = time.perf_counter()
        known = self._pool.known([one.item.item_id for chunk in chunks for one in chunk.candidates])
        items: list[Item] = []
        vectors: list[npt.NDArray[np.float16]] = []
        sorted_out = [_sort_out(chunk, known, self._pool.definition.name) for chunk in chunks]
        for chunk, result in zip(chunks, sorted_out, strict=True):
            items.extend(one.item for one in result.new)
            vectors.extend(chunk.vectors[one.index] for one in result.new)
        shape = (len(items), self._pool.definition.dimension)
        stats = self._pool.append(items, np.array(vectors, np.float16).reshape(shape))
        # Another stream may have been first with one of these ids; the store kept its text.
        kept = self._pool.known([item.item_id for item in items])
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - begun)
        answers = []
        for chunk, result in zip(chunks, sorted_out, strict=True):
            lost = [one for one in result.new if kept.get(one.item.item_id) != one.digest]
            rejections = [*chunk.rejections, *result.rejections, *(_changed(one) for one in lost)]
            gone = {one.index for one in lost}
            metrics.ITEMS.labels("accepted").inc(len(result.new) - len(lost))
            metrics.ITEMS.labels("already_there").inc(result.already_there)
            metrics.ITEMS.labels("rejected").inc(len(rejections))
            answers.append(
                Acknowledgement(
                    accepted=len(result.new) - len(lost),
                    already_there=result.already_there,
                    rejections=sorted(rejections, key=lambda rejection: rejection.index),
                    truncated=sum(one.index in chunk.truncated for one in result.new if one.index not in gone),
                    pool_items=stats.items,
                )
            )
        return answers


@dataclass(slots=True, eq=False)
class _SortedOut:
    """What a chunk's candidates are, now that everything before them is known."""

    new: list[Candidate] = field(default_factory=list)
    already_there: int = 0
    rejections: list[Rejection] = field(default_factory=list)


def _sort_out(chunk: Prepared, known: dict[str, bytes], pool: str) -> _SortedOut:
    """Tells new items from those that are there; notes the new ones in `known`."""
    result = _SortedOut()
    for one in chunk.candidates:
        there = known.get(one.item.item_id)
        if there == one.digest:
            result.already_there += 1
        elif there is not None:
            result.rejections.append(_changed(one))
        elif one.index in chunk.failed:
            why = chunk.failed[one.index]
            result.rejections.append(
                Rejection(one.index, one.item.item_id, "ENCODING_FAILED", f"text cannot be embedded: {why}")
            )
        elif one.index in chunk.vectors:
            known[one.item.item_id] = one.digest
            result.new.append(one)
        else:
            # It was in the pool when it was checked and is not any more: this is another pool.
            raise PoolNotFound(pool)
    return result


def _changed(one: Candidate) -> Rejection:
    return Rejection(
        one.index,
        one.item.item_id,
        "TEXT_CHANGED",
        f"item_id {one.item.item_id!r} is in the pool with another text; an item's text cannot change: give the new "
        "text an id of its own",
    )
