"""Select: which items a person should label next."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from services.pools import Item, PoolNotFound
from services.selector.acquisition import REGISTRY, AcquisitionFunction, OfProbabilities, best
from services.selector.changes import Changes, KeptAnswer
from services.selector.errors import ProjectNotFound, RequestIdReused
from services.selector.fitting import Fitting
from services.selector.following import Following
from services.selector.metrics import COLLISIONS, PART_SECONDS, SELECTED
from services.selector.predictions import predict
from services.selector.residents import Residents
from services.selector.scoring import Products
from services.selector.selection import (
    Selection,
    SelectionRequest,
    Timing,
    audit_record,
    decided,
    decided_of_each,
    restored,
)
from services.selector.stores import PoolSnapshot, Proposal, StoredHead, Stores
from services.selector.workspace import Workspace

# Candidates beyond k, so that what another replica took meanwhile can be replaced without another round trip.
_SPARE = 32


@dataclass(frozen=True, slots=True)
class _Scored:
    """Scores of every row, and what they come from."""

    function: AcquisitionFunction
    cold_start: bool
    head: StoredHead | None
    seed: int
    scores: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Candidates, best first."""

    rows: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32] | None
    item_ids: list[str]


class Selecting:
    """Chooses items and reserves them.

    Args:
        stores: where the truth is.
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

    async def select(self, request: SelectionRequest) -> Selection | bytes:
        """Chooses and reserves items; or returns the bytes that the request id stands for.

        A selection made under a request id must be handed to `finish` before it is answered.

        Raises:
            ProjectNotFound, PoolNotFound, BackboneMismatch: what the project needs is not there.
            RequestIdReused: the request id was used for another request.
            StoreUnavailable: Redis or the pool store cannot be reached.
        """
        async with self._residents.entered(request.project) as workspace:
            changes, snapshot = await self._following.catch_up(workspace, request.request_id)
            if changes.kept is not None or snapshot is None:
                return await self._repeated(workspace, request, changes.kept)
            begun = time.perf_counter()
            head = await self._head(workspace, request.allow_stale_head)
            fit = time.perf_counter()
            scored = await self._score(workspace, snapshot, head, request)
            score = time.perf_counter()
            timing = Timing(fit=fit - begun, score=score - fit, pick=0.0, fetch=0.0)
            picked = await self._pick(workspace, snapshot, scored, request, timing, changes)
            if isinstance(picked, KeptAnswer):
                # The same request is being answered beside this one.
                return await self._repeated(workspace, request, picked)
            rows, selection = picked
            pick = time.perf_counter()
            items = await asyncio.to_thread(snapshot.items_of, rows)
            fetched = time.perf_counter()
        timing = replace(timing, pick=pick - score, fetch=fetched - pick)
        for part in ("fit", "score", "pick", "fetch"):
            PART_SECONDS.labels(part).observe(getattr(timing, part))
        SELECTED.labels(selection.acquisition).inc(len(items))
        return replace(selection, items=items, timing=timing)

    async def finish(self, request: SelectionRequest, selection: Selection, answer: bytes) -> bytes:
        """Keeps the answer under the request id, and returns the one that counts: the first."""
        return await self._stores.reservations.finish(
            request.project, selection.uid, request.request_id, request.digest, answer
        )

    async def _head(self, workspace: Workspace, stale: bool) -> StoredHead | None:
        if not stale:
            return await self._fitting.fresh(workspace)
        self._fitting.begin(workspace.name)
        return workspace.head if workspace.basis() is not None else None

    async def _score(
        self, workspace: Workspace, snapshot: PoolSnapshot, head: StoredHead | None, request: SelectionRequest
    ) -> _Scored:
        function = REGISTRY[request.acquisition or workspace.project.acquisition]
        cold_start = head is None and isinstance(function, OfProbabilities)
        if cold_start:
            function = REGISTRY[workspace.project.cold_start]
        seed = secrets.randbits(64) if request.seed is None else request.seed
        if not isinstance(function, OfProbabilities):
            scores = function.scores(len(snapshot), np.random.default_rng(seed))
        else:
            assert head is not None  # noqa: S101 - the cold-start functions need no head
            async with workspace.scoring:
                scores = await asyncio.to_thread(workspace.scores.scores, snapshot, head.head, head.version, function)
        return _Scored(function, cold_start, head, seed, scores)

    async def _pick(
        self,
        workspace: Workspace,
        snapshot: PoolSnapshot,
        scored: _Scored,
        request: SelectionRequest,
        timing: Timing,
        changes: Changes,
    ) -> tuple[npt.NDArray[np.int64], Selection] | KeptAnswer:
        project, spare, begun = workspace.project, _SPARE, time.perf_counter()
        uid, handed_out = changes.marks.uid, workspace.handed_out
        reservation_ms = project.reservation_ms if request.reservation_ms is None else request.reservation_ms
        while True:
            async with workspace.picking:
                if workspace.handed_out != handed_out or spare > _SPARE:
                    # Others took items while this Select waited.
                    changes = await self._following.look(workspace)
                    if changes.marks.uid != uid:
                        raise ProjectNotFound(project.name)
                free = await self._free(workspace, snapshot, request.annotator, changes.now_ms)
                chosen = await asyncio.to_thread(
                    self._choose, snapshot, scored, free, request.k + spare, project.labels
                )
                rows, count = chosen.rows, int(np.count_nonzero(free))
                selection = Selection(
                    uid=uid,
                    items=(),
                    scores=chosen.scores,
                    probabilities=chosen.probabilities,
                    labels=project.labels,
                    acquisition=scored.function.name,
                    cold_start=scored.cold_start,
                    head_version=0 if scored.head is None else scored.head.version,
                    pool_version=snapshot.version,
                    seed=scored.seed,
                    remaining=max(count - request.k, 0),
                    timing=replace(timing, pick=time.perf_counter() - begun),
                )
                proposal = Proposal(
                    annotator=request.annotator,
                    k=request.k,
                    candidates=chosen.item_ids,
                    all_candidates=len(rows) == count,
                    reservation_ms=reservation_ms,
                    record=audit_record(request, selection, snapshot.incarnation),
                    request_id=request.request_id,
                    digest=request.digest,
                    decision=decided(selection) if request.request_id else {},
                    per_candidate=decided_of_each(chosen.scores, chosen.probabilities) if request.request_id else [],
                )
                workspace.handed_out += 1
                taken = await self._stores.reservations.reserve(project.name, uid, proposal)
            if isinstance(taken, KeptAnswer):
                return taken
            if taken is not None:
                at = np.array(taken, np.int64)
                probabilities = None if chosen.probabilities is None else chosen.probabilities[at]
                return rows[at], replace(selection, scores=chosen.scores[at], probabilities=probabilities)
            COLLISIONS.inc()
            spare *= 2

    async def _free(
        self, workspace: Workspace, snapshot: PoolSnapshot, annotator: str, now_ms: int
    ) -> npt.NDArray[np.bool_]:
        async with workspace.lock:
            rows = workspace.rows
            if rows is None or rows.incarnation != snapshot.incarnation:
                raise PoolNotFound(workspace.project.pool)
            newest = snapshot if workspace.snapshot is None else workspace.snapshot
            rows.follow(workspace.ledger, newest)
            return rows.availability.free_for(annotator, now_ms, len(snapshot))

    def _choose(
        self,
        snapshot: PoolSnapshot,
        scored: _Scored,
        free: npt.NDArray[np.bool_],
        count: int,
        labels: tuple[str, ...],
    ) -> _Chosen:
        rows = best(scored.scores, free, count)
        probabilities = None
        if scored.head is not None and len(rows):
            probabilities = predict(self._products, scored.head.head, snapshot.gather(rows), labels)
        return _Chosen(rows, scored.scores[rows].astype(np.float32), probabilities, snapshot.ids_of(rows))

    async def _repeated(
        self, workspace: Workspace, request: SelectionRequest, kept: KeptAnswer | None
    ) -> Selection | bytes:
        """Returns what a request id stands for."""
        assert kept is not None  # noqa: S101 - a snapshot is missing only when there is a kept answer
        if kept.digest != request.digest:
            raise RequestIdReused(request.request_id)
        if kept.answer is not None:
            return kept.answer
        # Decided, and ended before it was answered, or being answered beside this one.
        snapshot = await self._following.snapshot(workspace)
        rows = snapshot.rows_of(kept.decision["items"])
        if (rows < 0).any():
            raise PoolNotFound(workspace.project.pool)
        items: list[Item] = await asyncio.to_thread(snapshot.items_of, rows)
        return restored(workspace.marks.uid, kept.decision, items)
