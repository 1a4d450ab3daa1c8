"""RecordLabels and ListLabels: what people said about items."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.selector.changes import KeptAnswer
from services.selector.errors import ProjectNotFound, RequestIdReused, UnknownItems, UnknownLabels
from services.selector.fitting import Fitting
from services.selector.following import Following
from services.selector.metrics import RECORDED
from services.selector.project import Entry, Labeled, LabelRecord, Recorded
from services.selector.residents import Residents
from services.selector.stores import Stores
from services.selector.workspace import Workspace


class Recording:
    """Records labels and lists them.

    Args:
        stores: where the truth is.
        residents: the projects in memory.
        following: what brings a workspace up to date.
        fitting: what fits heads.
    """

    def __init__(self, stores: Stores, residents: Residents, following: Following, fitting: Fitting) -> None:
        self._stores = stores
        self._residents = residents
        self._following = following
        self._fitting = fitting

    async def record(
        self, name: str, entries: Sequence[Entry], annotator: str, request_id: str, digest: str
    ) -> Recorded:
        """Records entries, all or none, and begins a fit. Durable when it returns.

        Raises:
            ProjectNotFound, PoolNotFound, BackboneMismatch: what the project needs is not there.
            UnknownItems, UnknownLabels: entries name what does not exist; nothing is recorded.
            RequestIdReused: the request id was used for another request.
            StoreUnavailable: Redis or the pool store cannot be reached.
        """
        async with self._residents.entered(name) as workspace:
            try:
                # What the process knows of the project is nearly always right, and a round trip less.
                result = await self._attempt(workspace, entries, annotator, request_id, digest)
            except (ProjectNotFound, UnknownItems, UnknownLabels):
                changes = await self._following.look(workspace, request_id)
                result = changes.kept or await self._attempt(workspace, entries, annotator, request_id, digest)
        if isinstance(result, KeptAnswer):
            if result.digest != digest:
                raise RequestIdReused(request_id)
            return Recorded(**result.decision)
        if result.changed:
            RECORDED.inc(result.changed)
            self._fitting.begin(name)
        return result

    async def list_labels(self, name: str) -> tuple[Sequence[str], dict[str, LabelRecord]]:
        """Returns the ids that have a record, in order, and the records. Both must not be changed.

        Raises:
            ProjectNotFound: the project does not exist.
            StoreUnavailable: Redis cannot be reached.
        """
        async with self._residents.entered(name) as workspace:
            await self._following.look(workspace)
            ordered = await asyncio.to_thread(workspace.ledger.ordered)
            return ordered, workspace.ledger.labels

    async def _attempt(
        self, workspace: Workspace, entries: Sequence[Entry], annotator: str, request_id: str, digest: str
    ) -> Recorded | KeptAnswer:
        project = workspace.project
        known = set(project.labels)
        said = dict.fromkeys(entry.label for entry in entries if isinstance(entry, Labeled))
        unknown_labels = [label for label in said if label not in known]
        if unknown_labels:
            raise UnknownLabels(project.name, unknown_labels, project.labels)
        snapshot = await self._following.snapshot(workspace)
        rows = snapshot.rows_of([entry.item_id for entry in entries])
        unknown = [entry.item_id for entry, row in zip(entries, rows.tolist(), strict=True) if row < 0]
        if unknown:
            raise UnknownItems(project.pool, unknown)
        return await self._stores.labels.record(
            project.name, workspace.marks.uid, entries, annotator, request_id, digest
        )
