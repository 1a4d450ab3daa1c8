"""Predict: what the head says of texts, of items, or of a whole pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.selector.errors import BackboneMismatch, HeadNotFit, PoolHasNoBackbone, UnknownItems
from services.selector.fitting import Fitting
from services.selector.following import Following
from services.selector.predictions import predict
from services.selector.residents import Residents
from services.selector.scoring import Products
from services.selector.stores import PoolSnapshot, StoredHead, Stores
from services.selector.workspace import Workspace

# A chunk's ids and probabilities together stay well below the 4 MiB that gRPC clients take by default.
_CHUNK_ROWS = 4_096
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Predicted:
    """One chunk of predictions.

    Attributes:
        item_ids: of the rows; empty for texts.
        probabilities: float32, shape (n, C), columns in the order of `labels`.
        labels: the label set.
        head_version: of the head that predicted.
    """

    item_ids: Sequence[str]
    probabilities: npt.NDArray[np.float32]
    labels: tuple[str, ...]
    head_version: int


class Predicting:
    """Predicts with a head that has seen the newest labels.

    Every method raises ProjectNotFound, PoolNotFound, BackboneMismatch, HeadNotFit or StoreUnavailable.

    Args:
        stores: where pools and the embedder are.
        residents: the projects in memory.
        following: what brings a workspace up to date.
        fitting: what fits heads.
        products: what multiplies.
    """

    def __init__(
        self, stores: Stores, residents: Residents, following: Following, fitting: Fitting, products: Products
    ) -> None:
        self._stores = stores
        self._residents = residents
        self._following = following
        self._fitting = fitting
        self._products = products

    async def texts(
        self, name: str, texts: Sequence[tuple[str, str | None]], seconds: float | None
    ) -> AsyncGenerator[Predicted, None]:
        """Predicts texts, embedded with the pool's backbone.

        Raises:
            PoolHasNoBackbone: the pool holds the client's own embeddings.
            EmbedderUnavailable, EmbedderRefused: the texts could not be embedded.
        """
        async with self._residents.entered(name) as workspace:
            head, _ = await self._head(workspace)
            project = workspace.project
            definition = (await asyncio.to_thread(self._stores.pools.open, project.pool)).definition
            if definition.backbone is None:
                raise PoolHasNoBackbone(project.pool)
            embeddings = await self._stores.embedder.embed(definition, texts, seconds)
            for start, stop in _chunks(len(embeddings), len(project.labels)):
                probs = await asyncio.to_thread(
                    predict, self._products, head.head, embeddings[start:stop], project.labels
                )
                yield Predicted(item_ids=(), probabilities=probs, labels=project.labels, head_version=head.version)

    async def items(self, name: str, item_ids: Sequence[str]) -> AsyncGenerator[Predicted, None]:
        """Predicts items of the project's pool, in the order asked. Raises UnknownItems."""
        async with self._residents.entered(name) as workspace:
            head, snapshot = await self._head(workspace)
            rows = snapshot.rows_of(item_ids)
            unknown = [item_id for item_id, row in zip(item_ids, rows.tolist(), strict=True) if row < 0]
            if unknown:
                raise UnknownItems(workspace.project.pool, unknown)
            async for chunk in self._rows(workspace.project.labels, head, snapshot, rows):
                yield chunk

    async def pool(self, name: str, pool: str) -> AsyncGenerator[Predicted, None]:
        """Predicts a whole pool, in the order of its rows."""
        async with AsyncExitStack() as stack:
            workspace = await stack.enter_async_context(self._residents.entered(name))
            head, snapshot = await self._head(workspace)
            project = workspace.project
            if pool != project.pool:
                await stack.enter_async_context(self._residents.using(pool))
                reader = await asyncio.to_thread(self._stores.pools.open, pool)
                if reader.definition.fingerprint != project.fingerprint:
                    raise BackboneMismatch(pool, reader.definition.fingerprint, project.fingerprint)
                snapshot = await asyncio.to_thread(reader.snapshot)
                self._residents.note(pool, len(snapshot) * snapshot.dimension * 2)
            async for chunk in self._rows(project.labels, head, snapshot, np.arange(len(snapshot))):
                yield chunk

    async def _head(self, workspace: Workspace) -> tuple[StoredHead, PoolSnapshot]:
        _, snapshot = await self._following.catch_up(workspace)
        head = await self._fitting.fresh(workspace)
        if head is None or snapshot is None:
            classes = 0 if workspace.rows is None else len(workspace.rows.per_label)
            raise HeadNotFit(workspace.name, classes)
        return head, snapshot

    async def _rows(
        self, labels: tuple[str, ...], head: StoredHead, snapshot: PoolSnapshot, rows: npt.NDArray[np.int64]
    ) -> AsyncGenerator[Predicted, None]:
        def chunk(part: npt.NDArray[np.int64]) -> Predicted:
            return Predicted(
                item_ids=snapshot.ids_of(part),
                probabilities=predict(self._products, head.head, snapshot.gather(part), labels),
                labels=labels,
                head_version=head.version,
            )

        for start, stop in _chunks(len(rows), len(labels)):
            yield await asyncio.to_thread(chunk, rows[start:stop])


def _chunks(rows: int, classes: int) -> list[tuple[int, int]]:
    size = max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // (4 * classes)))
    return [(start, min(start + size, rows)) for start in range(0, rows, size)]
