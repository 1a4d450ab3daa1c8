"""Bringing a workspace up to what Redis and the pool store say."""

from __future__ import annotations

import asyncio

from services.selector.changes import Changes
from services.selector.errors import BackboneMismatch, ProjectNotFound
from services.selector.residents import Residents
from services.selector.rows import Rows
from services.selector.stores import PoolSnapshot, Stores
from services.selector.workspace import Workspace

# Fewer changes than this are taken in on the event loop: a thread costs more.
_FEW = 1_000


class Following:
    """Follows projects and their pools.

    Args:
        stores: where the truth is.
        residents: what is told how much memory a pool takes.
    """

    def __init__(self, stores: Stores, residents: Residents) -> None:
        self._stores = stores
        self._residents = residents

    async def look(self, workspace: Workspace, request_id: str = "") -> Changes:
        """Takes in what changed in Redis, in one round trip, two when there is a new head.

        Raises:
            ProjectNotFound: the project does not exist (any more).
            StoreUnavailable: Redis cannot be reached.
        """
        async with workspace.lock:
            return await self._look(workspace, request_id)

    async def catch_up(self, workspace: Workspace, request_id: str = "") -> tuple[Changes, PoolSnapshot | None]:
        """Takes in what changed in Redis and in the pool. Without a snapshot when the request id stands for something.

        Raises:
            ProjectNotFound: the project does not exist (any more).
            PoolNotFound: its pool does not.
            BackboneMismatch: the pool was created again with another backbone.
            StoreUnavailable: Redis or the pool store cannot be reached.
        """
        async with workspace.lock:
            changes = await self._look(workspace, request_id)
            if changes.kept is not None:
                return changes, None
            return changes, await self._view(workspace)

    async def snapshot(self, workspace: Workspace) -> PoolSnapshot:
        """Returns the project's pool as it is now. Raises as `catch_up`."""
        project = workspace.project
        snapshot = await asyncio.to_thread(self._open, project.pool, project.fingerprint)
        self._residents.note(project.pool, len(snapshot) * snapshot.dimension * 2)
        return snapshot

    async def _look(self, workspace: Workspace, request_id: str) -> Changes:
        try:
            changes = await self._stores.log.changes(workspace.name, workspace.marks, request_id)
        except ProjectNotFound:
            workspace.forget()
            raise
        if changes.marks.uid != workspace.marks.uid:
            workspace.forget()
        if changes.project is not None:
            workspace.project = changes.project
        if len(changes.labels) < _FEW:
            workspace.ledger.apply(changes)
        else:
            await asyncio.to_thread(workspace.ledger.apply, changes)
        workspace.marks = changes.marks
        held = 0 if workspace.head is None else workspace.head.version
        if changes.head_version != held:
            workspace.head = await self._stores.heads.newest(workspace.name)
        return changes

    async def _view(self, workspace: Workspace) -> PoolSnapshot:
        # After Redis was read: an item that somebody said something about is in the pool's newest version.
        snapshot = await self.snapshot(workspace)
        if workspace.rows is not None and workspace.rows.incarnation != snapshot.incarnation:
            # The pool was deleted and created again.
            workspace.forget()
            await self._look(workspace, "")
        if workspace.rows is None:
            workspace.rows = Rows(snapshot.incarnation)
        if len(workspace.ledger.pending) < _FEW:
            workspace.rows.follow(workspace.ledger, snapshot)
        else:
            await asyncio.to_thread(workspace.rows.follow, workspace.ledger, snapshot)
        workspace.snapshot = snapshot
        return snapshot

    def _open(self, pool: str, fingerprint: str) -> PoolSnapshot:
        reader = self._stores.pools.open(pool)
        if reader.definition.fingerprint != fingerprint:
            raise BackboneMismatch(pool, reader.definition.fingerprint, fingerprint)
        return reader.snapshot()
