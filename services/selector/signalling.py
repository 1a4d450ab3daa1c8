"""Stopping signals of a project's heads, measured as heads are fit."""

from __future__ import annotations

import asyncio

from services.selector.stopping import Predictions, StoppingSignals, due, signals, stop_set
from services.selector.stores import Anchor, PoolSnapshot, StoredHead, Stores
from services.selector.workspace import Workspace


class Signalling:
    """Measures signals.

    Args:
        stores: where they are kept.
    """

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def note(
        self, workspace: Workspace, uid: str, head: StoredHead, labeled: int, snapshot: PoolSnapshot
    ) -> None:
        """Measures a new head's signals where it has seen enough labels more, or fewer, than the last one measured.

        Costs a product with a thousand rows for such a head, for others nothing.

        Raises:
            ProjectNotFound: the project is gone.
            StoreUnavailable: Redis cannot be reached.
        """
        anchor = workspace.anchor
        if anchor is not None and not due(labeled, anchor.labeled):
            return
        # Another replica may have measured since.
        anchor = workspace.anchor = await self._stores.signals.anchor(workspace.name)
        if anchor is not None and not due(labeled, anchor.labeled):
            return
        found, fresh = await asyncio.to_thread(_measured, head, labeled, snapshot, anchor)
        await self._stores.signals.add(workspace.name, uid, found, fresh)
        workspace.anchor = fresh


def _measured(
    head: StoredHead, labeled: int, snapshot: PoolSnapshot, anchor: Anchor | None
) -> tuple[StoppingSignals, Anchor]:
    """Returns a head's signals, and what the next ones are compared with."""
    rows = len(snapshot)
    after = Predictions.of(head.head, snapshot.gather(stop_set(rows)).astype("float32"))
    fresh = Anchor(
        labeled=labeled, rows=rows, incarnation=snapshot.incarnation, labels=after.labels, classes=after.classes
    )
    before, compared = None, after
    if anchor is not None and anchor.incarnation == snapshot.incarnation and anchor.rows <= rows:
        before = Predictions(anchor.labels, anchor.classes, None)
        if anchor.rows != rows:
            # The pool grew, and its stop set with it: the heads are compared on the rows that the first one was asked.
            compared = Predictions.of(head.head, snapshot.gather(stop_set(anchor.rows)).astype("float32"))
    found = signals(
        compared,
        labeled=labeled,
        head_version=head.version,
        before=before,
        since=None if before is None or anchor is None else anchor.labeled,
    )
    return found, fresh
