"""What the use cases ask of the places that keep things: pools, Redis and the embedder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from services.pools import Item, PoolDefinition, PoolStats
from services.selector.changes import Changes, KeptAnswer, Marks
from services.selector.heads import Head
from services.selector.project import Entry, Project, ProjectStatus, Recorded
from services.selector.stopping import StoppingSignals


class PoolSnapshot(Protocol):
    """A pool as it was at one version; see `services.pools.Snapshot`."""

    version: int
    dimension: int
    incarnation: str

    def __len__(self) -> int:
        """Returns N."""

    def blocks(self) -> Sequence[npt.NDArray[np.float16]]:
        """Returns the embeddings in blocks of 65,536 rows."""

    def gather(self, rows: npt.ArrayLike) -> npt.NDArray[np.float16]:
        """Returns the embeddings of rows."""

    def rows_of(self, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Returns the rows of ids, -1 for unknown ones."""

    def ids_of(self, rows: npt.ArrayLike) -> list[str]:
        """Returns the ids of rows."""

    def items_of(self, rows: npt.ArrayLike) -> list[Item]:
        """Reads the items of rows."""


class PoolReader(Protocol):
    """A pool that is read; see `services.pools.Pool`."""

    @property
    def definition(self) -> PoolDefinition:
        """What the pool is."""

    def snapshot(self) -> PoolSnapshot:
        """Returns the pool as it is now. Raises PoolNotFound or the pools' StoreUnavailable."""

    def stats(self) -> PoolStats:
        """Returns how large it is now, without loading embeddings. Raises as `snapshot`."""


class PoolReaders(Protocol):
    """All pools of the place. Every call may block on disk or network."""

    def open(self, name: str) -> PoolReader:
        """Returns a pool. Raises PoolNotFound or the pools' StoreUnavailable."""

    def release(self, name: str) -> None:
        """Lets go of the memory a pool takes; it is loaded again when it is opened again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredHead:
    """A head as it is kept.

    Attributes:
        version: 1 for the first; only grows.
        label_version: the label version it has seen.
        basis: what it was fit on; two heads of one basis are the same head.
        head: the head.
    """

    version: int
    label_version: int
    basis: str
    head: Head


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """Items a Select would hand out, best first, and what must be kept with them.

    Attributes:
        annotator: who asks.
        k: items wanted.
        candidates: ids, best first; more than k, so that what another replica took can be replaced.
        all_candidates: whether there are no others.
        reservation_ms: how long to reserve; 0 for not at all.
        record: what the selections stream shall say, as a flat mapping.
        request_id: "" for none.
        digest: of the request.
        decision: what a repetition needs to give the same answer, the same for all candidates.
        per_candidate: what it needs of each candidate.
    """

    annotator: str
    k: int
    candidates: Sequence[str]
    all_candidates: bool
    reservation_ms: int
    record: dict[str, str]
    request_id: str
    digest: str
    decision: dict[str, Any]
    per_candidate: Sequence[Any]


class ProjectStore(Protocol):
    """Projects. Each method raises StoreUnavailable while the store cannot be reached."""

    async def create(self, project: Project) -> Project:
        """Creates a project, or returns the one of the same definition. Raises ProjectExists."""

    async def get_all(self, names: Sequence[str]) -> list[Project]:
        """Returns projects by name, without those that are gone."""

    async def names(self, after: str, count: int) -> list[str]:
        """Returns up to `count` names of projects that follow `after`, in order."""

    async def update(self, name: str, change: ProjectChange) -> Project:
        """Changes settings and returns them. Raises ProjectNotFound and what `change` raises."""

    async def delete(self, name: str) -> bool:
        """Deletes a project with all that is kept of it. Returns whether there was one."""

    async def status(self, name: str) -> tuple[Project, ProjectStatus]:
        """Returns settings and counts of one moment. Raises ProjectNotFound."""

    async def ping(self) -> None:
        """Returns when the store answers."""


class ProjectChange(Protocol):
    """A change of settings, applied to whatever they are at that moment."""

    def __call__(self, project: Project) -> Project:
        """Returns the changed settings."""


class ProjectLog(Protocol):
    """What happens in a project. Raises StoreUnavailable, and ProjectNotFound if the project is gone."""

    async def changes(self, name: str, since: Marks, request_id: str = "") -> Changes:
        """Returns what changed since marks, and what a request id stands for."""


class LabelStore(Protocol):
    """What people said. Raises StoreUnavailable, and ProjectNotFound if the project is gone."""

    async def record(
        self, name: str, uid: str, entries: Sequence[Entry], annotator: str, request_id: str, digest: str
    ) -> Recorded | KeptAnswer:
        """Records entries, all or none; or returns what the request id stands for already."""


class ReservationStore(Protocol):
    """Who holds which items. Raises StoreUnavailable, and ProjectNotFound if the project is gone."""

    async def reserve(self, name: str, uid: str, proposal: Proposal) -> list[int] | KeptAnswer | None:
        """Takes the first k candidates that are free: their positions; or what the request id stands for already.

        None, and nothing done, when fewer than k are free and there are other candidates.
        """

    async def finish(self, name: str, uid: str, request_id: str, digest: str, answer: bytes) -> bytes:
        """Keeps the answer of a decided request, and returns the one that is kept: the first."""


class HeadStore(Protocol):
    """Heads. Raises StoreUnavailable, and ProjectNotFound if the project is gone."""

    async def newest(self, name: str) -> StoredHead | None:
        """Returns the newest head; None when there is none."""

    async def put(self, name: str, uid: str, base: int, label_version: int, basis: str, head: Head) -> int | None:
        """Stores a head that was fit from version `base`: its version; None when another one came first."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Anchor:
    """What the last stopping signals were measured on.

    Attributes:
        labeled: labeled items that head was fit on.
        rows: of the pool then, which its stop set follows from.
        incarnation: of the pool.
        labels: of the head.
        classes: what it predicted for the stop set, numbers into `labels`.
    """

    labeled: int
    rows: int
    incarnation: str
    labels: tuple[str, ...]
    classes: npt.NDArray[np.integer[Any]]


class SignalStore(Protocol):
    """Stopping signals. Raises StoreUnavailable, and ProjectNotFound if the project is gone."""

    async def history(self, name: str) -> Sequence[StoppingSignals]:
        """Returns signals, the oldest first."""

    async def anchor(self, name: str) -> Anchor | None:
        """Returns what the last ones were measured on; None when there are none."""

    async def add(self, name: str, uid: str, signals: StoppingSignals, anchor: Anchor) -> None:
        """Keeps signals, unless those of as new a head are there."""


class TextEmbedder(Protocol):
    """Embeds texts with a pool's backbone."""

    async def embed(
        self, definition: PoolDefinition, texts: Sequence[tuple[str, str | None]], seconds: float | None
    ) -> npt.NDArray[np.float32]:
        """Returns embeddings (n, D). Raises EmbedderUnavailable, EmbedderRefused or BackboneMismatch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stores:
    """Every place the use cases reach for, chosen by the composition root."""

    pools: PoolReaders
    projects: ProjectStore
    log: ProjectLog
    labels: LabelStore
    reservations: ReservationStore
    heads: HeadStore
    signals: SignalStore
    embedder: TextEmbedder
