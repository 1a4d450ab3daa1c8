"""Select: which items a person should label next."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from services.pools import Item, PoolNotFound
from services.selector.acquisition import ScoreFunction, parameters_from
from services.selector.changes import Changes, KeptAnswer
from services.selector.choosing import Choice, Choosing, Situation
from services.selector.errors import ProjectNotFound, RequestIdReused
from services.selector.fitting import Fitting
from services.selector.following import Following
from services.selector.metrics import COLLISIONS, PART_SECONDS, SELECTED
from services.selector.predictions import predict
from services.selector.project import Project
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
from services.selector.served import can_begin, check_served, check_used, function_named, read_by
from services.selector.stores import PoolSnapshot, Proposal, StoredHead, Stores
from services.selector.workspace import Workspace

# Candidates beyond k, so that what another replica took meanwhile can be replaced without another round trip.
_SPARE = 32


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
        choosing: what chooses rows.
        products: what multiplies.
    """

    def __init__(
        self,
        stores: Stores,
        residents: Residents,
        following: Following,
        fitting: Fitting,
        choosing: Choosing,
        products: Products,
    ) -> None:
        self._choosing = choosing
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
            HeadUnsupported: the project's head cannot serve the acquisition function.
            AcquisitionNotInstalled: the project names a function that is not there.
            ParametersUnused: the request sets parameters that the function does not read.
            RequestIdReused: the request id was used for another request.
            StoreUnavailable: Redis or the pool store cannot be reached.
        """
        async with self._residents.entered(request.project) as workspace:
            # Counted before Redis is read: what others take after that is then known to be missing.
            handed_out = workspace.handed_out
            changes, snapshot = await self._following.catch_up(workspace, request.request_id)
            if changes.kept is not None or snapshot is None:
                return await self._repeated(workspace, request, changes.kept)
            begun = time.perf_counter()
            head = await self._head(workspace, request.allow_stale_head)
            fit = time.perf_counter()
            choice = self._decide(workspace, head, request)
            if isinstance(choice.function, ScoreFunction):
                situation = await self._situation(workspace, snapshot, request.annotator, changes.now_ms)
                view = self._choosing.view(workspace.project, workspace.marks.uid, snapshot, head, situation)
                async with workspace.scoring:
                    await asyncio.to_thread(view.scores, choice.function, choice.parameters)
            score = time.perf_counter()
            timing = Timing(fit=fit - begun, score=score - fit, pick=0.0, fetch=0.0)
            picked = await self._pick(workspace, snapshot, choice, request, timing, changes, handed_out)
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
        head = workspace.head
        if head is not None and head.head.abilities != workspace.project.head.abilities:
            # Not stale but of another kind, which may not serve the acquisition function.
            return await self._fitting.fresh(workspace)
        return head if workspace.basis() is not None else None

    def _decide(self, workspace: Workspace, head: StoredHead | None, request: SelectionRequest) -> Choice:
        project = workspace.project
        function = function_named(request.acquisition or project.acquisition)
        check_served(function, project.head)
        check_used(function, request.parameters)
        labeled = workspace.rows is not None and bool(workspace.rows.label_of)
        cold_start = not can_begin(function, head is not None, labeled)
        if cold_start:
            function = function_named(project.cold_start)
        return Choice(
            function=function,
            cold_start=cold_start,
            head=head,
            seed=secrets.randbits(64) if request.seed is None else request.seed,
            parameters=parameters_from({**project.parameters, **request.parameters}),
            max_similarity=request.max_similarity,
        )

    async def _pick(
        self,
        workspace: Workspace,
        snapshot: PoolSnapshot,
        choice: Choice,
        request: SelectionRequest,
        timing: Timing,
        changes: Changes,
        handed_out: int,
    ) -> tuple[npt.NDArray[np.int64], Selection] | KeptAnswer:
        project, begun = workspace.project, time.perf_counter()
        spare = _SPARE if isinstance(choice.function, ScoreFunction) or choice.function.extends else 0
        uid, again = changes.marks.uid, False
        reservation_ms = project.reservation_ms if request.reservation_ms is None else request.reservation_ms
        while True:
            async with workspace.picking:
                if workspace.handed_out != handed_out or again:
                    # Others took items while this Select waited.
                    changes = await self._following.look(workspace)
                    if changes.marks.uid != uid:
                        raise ProjectNotFound(project.name)
                situation = await self._situation(workspace, snapshot, request.annotator, changes.now_ms)
                chosen = await asyncio.to_thread(
                    self._choose, project, uid, snapshot, choice, situation, request.k + spare
                )
                rows, count = chosen.rows, int(np.count_nonzero(situation.free))
                selection = Selection(
                    uid=uid,
                    items=(),
                    scores=chosen.scores,
                    probabilities=chosen.probabilities,
                    labels=project.labels,
                    acquisition=choice.function.name,
                    cold_start=choice.cold_start,
                    head_version=0 if choice.head is None else choice.head.version,
                    pool_version=snapshot.version,
                    seed=choice.seed,
                    remaining=max(count - request.k, 0),
                    timing=replace(timing, pick=time.perf_counter() - begun),
                )
                proposal = Proposal(
                    annotator=request.annotator,
                    k=request.k,
                    candidates=chosen.item_ids,
                    all_candidates=len(rows) < request.k + spare or len(rows) == count,
                    reservation_ms=reservation_ms,
                    record=audit_record(
                        request, selection, snapshot.incarnation, dict(choice.parameters.key(read_by(choice.function)))
                    ),
                    request_id=request.request_id,
                    digest=request.digest,
                    decision=decided(selection) if request.request_id else {},
                    per_candidate=decided_of_each(chosen.scores, chosen.probabilities) if request.request_id else [],
                )
                try:
                    taken = await self._stores.reservations.reserve(project.name, uid, proposal)
                finally:
                    workspace.handed_out += 1
            if isinstance(taken, KeptAnswer):
                return taken
            if taken is not None:
                at = np.array(taken, np.int64)
                probabilities = None if chosen.probabilities is None else chosen.probabilities[at]
                return rows[at], replace(selection, scores=chosen.scores[at], probabilities=probabilities)
            COLLISIONS.inc()
            spare, again = 2 * spare, True

    async def _situation(self, workspace: Workspace, snapshot: PoolSnapshot, annotator: str, now_ms: int) -> Situation:
        async with workspace.lock:
            rows = workspace.rows
            if rows is None or rows.incarnation != snapshot.incarnation:
                raise PoolNotFound(workspace.project.pool)
            newest = snapshot if workspace.snapshot is None else workspace.snapshot
            rows.follow(workspace.ledger, newest)
            labeled, labels = rows.labeled()
            # The pool may have grown since this Select looked at it, and new items may be labeled already.
            known = int(np.searchsorted(labeled, len(snapshot)))
            return Situation(
                free=rows.availability.free_for(annotator, now_ms, len(snapshot)),
                labeled=labeled[:known],
                labels=labels[:known],
                reserved=rows.availability.held_by_others(annotator, now_ms, len(snapshot)),
            )

    def _choose(
        self,
        project: Project,
        uid: str,
        snapshot: PoolSnapshot,
        choice: Choice,
        situation: Situation,
        count: int,
    ) -> _Chosen:
        view = self._choosing.view(project, uid, snapshot, choice.head, situation)
        picks = self._choosing.choose(view, choice, count)
        probabilities = None
        if choice.head is not None and len(picks.rows):
            probabilities = predict(self._products, choice.head.head, snapshot.gather(picks.rows), project.labels)
        return _Chosen(picks.rows, picks.scores.astype(np.float32), probabilities, snapshot.ids_of(picks.rows))

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
