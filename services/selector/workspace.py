"""What one process keeps in memory of one project, so that little must be read or computed twice."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from services.selector.changes import Marks
from services.selector.errors import ProjectNotFound
from services.selector.heads import Fitter, TrainingSet, fitter_for, settings_to_fields
from services.selector.ledger import Ledger
from services.selector.project import Project
from services.selector.rows import Rows
from services.selector.stores import Anchor, PoolSnapshot, StoredHead

_LABEL_BYTES = 300


@dataclass(frozen=True, slots=True)
class Basis:
    """What a head is, or would be, fit on.

    Attributes:
        label_version: the labels.
        settings: the head's settings as JSON.
        incarnation: of the pool.
        items: labeled items that are in the pool.
    """

    label_version: int
    settings: str
    incarnation: str
    items: int

    def text(self) -> str:
        """Returns it as text: equal texts are equal bases."""
        return json.dumps([self.label_version, self.settings, self.incarnation, self.items])


class Workspace:
    """One project in memory. Nothing of it is the truth: that is in Redis and the pool store.

    Everything changes only on the event loop, while `lock` is held.

    Args:
        name: the project's name.

    Attributes:
        rows: what is known by row; None before the pool was followed.
        snapshot: of the pool, as old as `rows`.
        lock: held while following the project.
        scoring: held while the pool is scored, so that one of several Selects does it for all.
        picking: held from choosing rows to reserving them, so that Selects of one process never collide.
        handed_out: grows with every Select that has reached for items.
        anchor: what the last stopping signals were measured on, as far as this process knows.
        users: RPCs and fits at it; it is not dropped while there are any.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = asyncio.Lock()
        self.scoring = asyncio.Lock()
        self.picking = asyncio.Lock()
        self.users = 0
        self.handed_out = 0
        self.fit: asyncio.Task[None] | None = None
        self.forget()

    def forget(self) -> None:
        """Begins anew: another project has the name, or another pool."""
        self.marks = Marks()
        self.ledger = Ledger()
        self._project: Project | None = None
        self.rows: Rows | None = None
        self.snapshot: PoolSnapshot | None = None
        self.head: StoredHead | None = None
        self.training: TrainingSet | None = None
        self.anchor: Anchor | None = None
        self._fitter: Fitter | None = None

    @property
    def project(self) -> Project:
        """The settings as last read. Raises ProjectNotFound before the first reading."""
        if self._project is None:
            raise ProjectNotFound(self.name)
        return self._project

    @project.setter
    def project(self, project: Project) -> None:
        self._project = project

    @property
    def fitter(self) -> Fitter:
        """What fits the project's heads, one after the other; another one for other settings."""
        if self._fitter is None or self._fitter.settings != self.project.head:
            self._fitter = fitter_for(self.project.head)
        return self._fitter

    @property
    def known(self) -> bool:
        """Whether it was read."""
        return self._project is not None

    @property
    def bytes(self) -> int:
        """Memory it takes beside the pool, roughly."""
        total = len(self.ledger.labels) * _LABEL_BYTES
        if self.rows is not None:
            total += self.rows.availability.bytes
        if self.training is not None:
            total += self.training.bytes
        return total

    def basis(self) -> Basis | None:
        """Returns what a head would be fit on now; None when none can be: labels of fewer than two classes."""
        if self.rows is None or len(self.rows.per_label) < 2:
            return None
        return Basis(
            self.ledger.label_version,
            json.dumps(settings_to_fields(self.project.head)),
            self.rows.incarnation,
            len(self.rows.label_of),
        )
