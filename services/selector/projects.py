"""Projects: created, read, changed, deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.pools import PoolNotFound
from services.selector.errors import TooManyLabels
from services.selector.heads import HeadSettings
from services.selector.project import Project, ProjectStatus
from services.selector.served import check_served, function_named
from services.selector.stopping import StoppingSignals
from services.selector.stores import Stores

MAX_LABELS = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """What a caller of CreateProject decides, checked, defaults resolved; see `Project`."""

    name: str
    pool: str
    labels: tuple[str, ...]
    acquisition: str
    cold_start: str
    reservation_ms: int
    head: HeadSettings
    parameters: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """What a caller of UpdateProject changes, checked; None leaves a setting as it is."""

    add_labels: tuple[str, ...]
    acquisition: str | None
    cold_start: str | None
    reservation_ms: int | None
    head: HeadSettings | None
    parameters: Mapping[str, Any] | None

    def __call__(self, project: Project) -> Project:
        """Returns the changed settings. Raises TooManyLabels or HeadUnsupported."""
        labels = tuple(dict.fromkeys((*project.labels, *self.add_labels)))
        if len(labels) > MAX_LABELS:
            raise TooManyLabels(len(labels), MAX_LABELS)
        changed = replace(
            project,
            labels=labels,
            acquisition=self.acquisition or project.acquisition,
            cold_start=self.cold_start or project.cold_start,
            reservation_ms=project.reservation_ms if self.reservation_ms is None else self.reservation_ms,
            head=self.head or project.head,
            parameters=project.parameters if self.parameters is None else self.parameters,
        )
        check_served(function_named(changed.acquisition), changed.head)
        return changed


class Projects:
    """Keeps projects.

    Every method raises StoreUnavailable while Redis or the pool store cannot be reached.

    Args:
        stores: where the truth is.
    """

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def create(self, definition: Definition) -> Project:
        """Creates a project, or returns the one of the same definition.

        Raises PoolNotFound, ProjectExists or HeadUnsupported.
        """
        check_served(function_named(definition.acquisition), definition.head)
        pool = await asyncio.to_thread(self._stores.pools.open, definition.pool)
        return await self._stores.projects.create(
            Project(
                name=definition.name,
                pool=definition.pool,
                labels=definition.labels,
                acquisition=definition.acquisition,
                cold_start=definition.cold_start,
                reservation_ms=definition.reservation_ms,
                head=definition.head,
                parameters=definition.parameters,
                fingerprint=pool.definition.fingerprint,
                created_ms=time.time_ns() // 1_000_000,
            )
        )

    async def get(self, name: str) -> tuple[Project, ProjectStatus, int, Sequence[StoppingSignals]]:
        """Returns a project, its counts, the items of its pool, 0 while there is no such pool, and stopping signals.

        Raises ProjectNotFound.
        """
        project, status = await self._stores.projects.status(name)
        signals = await self._stores.signals.history(name)
        return project, status, await asyncio.to_thread(self._items, project.pool), signals

    async def page(self, after: str, size: int) -> tuple[list[Project], bool]:
        """Returns up to `size` projects that follow a name, in order of name, and whether there are more."""
        names = await self._stores.projects.names(after, size + 1)
        projects = await self._stores.projects.get_all(names[:size])
        return projects, len(names) > size

    async def update(self, name: str, update: Update) -> Project:
        """Changes settings. Raises ProjectNotFound, TooManyLabels or HeadUnsupported."""
        return await self._stores.projects.update(name, update)

    async def delete(self, name: str) -> bool:
        """Deletes a project with all that is kept of it. Returns whether there was one."""
        return await self._stores.projects.delete(name)

    def _items(self, pool: str) -> int:
        try:
            return self._stores.pools.open(pool).stats().items
        except PoolNotFound:
            return 0
