"""Which projects and pools stay in memory."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.selector.stores import PoolReaders
from services.selector.workspace import Workspace


class Residents:
    """The projects in memory, and the pools they are over. What was not used for longest goes first.

    The limit is one of what stays: a project at work is never dropped, whatever it takes.

    Args:
        limit_bytes: memory that projects and pools may take together before some are dropped.
        pools: what lets go of pools.
    """

    def __init__(self, limit_bytes: int, pools: PoolReaders) -> None:
        self._limit_bytes = limit_bytes
        self._pools = pools
        self._workspaces: OrderedDict[str, Workspace] = OrderedDict()
        self._pool_bytes: dict[str, int] = {}
        self._pool_users: Counter[str] = Counter()

    @asynccontextmanager
    async def entered(self, name: str) -> AsyncIterator[Workspace]:
        """Yields the project's workspace, and keeps it while it is used."""
        workspace = self._workspaces.get(name)
        if workspace is None:
            workspace = self._workspaces[name] = Workspace(name)
        self._workspaces.move_to_end(name)
        workspace.users += 1
        try:
            yield workspace
        finally:
            workspace.users -= 1
            if not workspace.known and not workspace.users:
                # There is no such project.
                del self._workspaces[name]
            self._trim()

    @asynccontextmanager
    async def using(self, pool: str) -> AsyncIterator[None]:
        """Keeps a pool in memory while it is used outside a workspace."""
        self._pool_users[pool] += 1
        try:
            yield
        finally:
            self._pool_users[pool] -= 1
            self._trim()

    def note(self, pool: str, size: int) -> None:
        """Notes how much memory a pool takes."""
        self._pool_bytes[pool] = size

    def names(self) -> list[str]:
        """Returns the names of projects in memory, longest unused first."""
        return list(self._workspaces)

    def _trim(self) -> None:
        while self._taken() > self._limit_bytes:
            idle = next((name for name, workspace in self._workspaces.items() if not workspace.users), None)
            if idle is None:
                break
            del self._workspaces[idle]
            self._release_unused()
        if self._taken() > self._limit_bytes:
            self._release_unused()

    def _release_unused(self) -> None:
        used = {workspace.project.pool for workspace in self._workspaces.values() if workspace.known}
        for pool in list(self._pool_bytes):
            if pool not in used and not self._pool_users[pool]:
                del self._pool_bytes[pool]
                self._pools.release(pool)

    def _taken(self) -> int:
        return sum(self._pool_bytes.values()) + sum(workspace.bytes for workspace in self._workspaces.values())
