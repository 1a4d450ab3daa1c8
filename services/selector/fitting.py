"""Heads that have seen the newest labels: fit in the background, once for all who wait."""

from __future__ import annotations

import asyncio
import logging
import time

import numpy as np

from services.selector.following import Following
from services.selector.heads import Head, TrainingSet
from services.selector.metrics import FIT_SECONDS
from services.selector.residents import Residents
from services.selector.scoring import Products, Shelf, mean_squared_norm, pool_embeddings
from services.selector.signalling import Signalling
from services.selector.stores import PoolSnapshot, StoredHead, Stores
from services.selector.workspace import Basis, Workspace

LOGGER = logging.getLogger(__name__)


class Fitting:
    """Fits heads.

    Args:
        stores: where heads are kept.
        residents: the projects in memory.
        following: what brings a workspace up to date.
        products: what multiplies.
        shelf: what keeps norms.
        signalling: what measures stopping signals of new heads.
    """

    def __init__(
        self,
        stores: Stores,
        residents: Residents,
        following: Following,
        products: Products,
        shelf: Shelf,
        signalling: Signalling,
    ) -> None:
        self._stores = stores
        self._residents = residents
        self._following = following
        self._products = products
        self._shelf = shelf
        self._signalling = signalling
        self._background: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()

    def begin(self, name: str) -> None:
        """Starts a fit of a project's newest labels, unless one runs: then another follows it. Does not wait."""
        if name in self._background:
            self._again.add(name)
            return
        task = asyncio.create_task(self._in_background(name))
        self._background[name] = task
        task.add_done_callback(lambda _: self._ended(name))

    async def close(self) -> None:
        """Waits for the fits that run; none is begun after."""
        self._again.clear()
        await asyncio.gather(*self._background.values(), return_exceptions=True)

    async def fresh(self, workspace: Workspace) -> StoredHead | None:
        """Returns a head that has seen the labels the workspace knows, waiting for the fit; None when none can be fit.

        The workspace must have followed its pool.

        Raises:
            ProjectNotFound: the project is gone.
            StoreUnavailable: Redis cannot be reached.
        """
        wanted = newest = workspace.basis()
        while wanted is not None and newest is not None:
            if _has_seen(workspace.head, wanted) or _has_seen(workspace.head, newest):
                return workspace.head
            if workspace.fit is None:
                workspace.fit = asyncio.create_task(self._fit(workspace))
            # Whoever waits may give up; the fit goes on for the others.
            await asyncio.shield(workspace.fit)
            newest = workspace.basis()
        return None

    async def _fit(self, workspace: Workspace) -> None:
        workspace.users += 1
        try:
            async with workspace.lock:
                basis, base = workspace.basis(), workspace.head
                rows, snapshot = workspace.rows, workspace.snapshot
                if basis is None or rows is None or snapshot is None or _has_seen(base, basis):
                    return
                uid, project = workspace.marks.uid, workspace.project
                numbers = {label: number for number, label in enumerate(project.labels)}
                changed = {row: numbers.get(rows.label_of.get(row, "")) for row in rows.take_changed()}
                training = workspace.training
                # Filled by this fit; without it when the fit fails, the next one starts from all labels.
                workspace.training = None
                if training is None:
                    training = TrainingSet(snapshot.dimension)
                    changed = {row: numbers[label] for row, label in rows.label_of.items()}
                fitter = workspace.fitter

            def work() -> Head:
                _follow(training, changed, snapshot)
                norm = mean_squared_norm(pool_embeddings(self._products, self._shelf, snapshot, project.pool))
                start = None if base is None else base.head
                return fitter.fit(training.features, training.classes, project.labels, norm, start)

            begun = time.perf_counter()
            head = await asyncio.to_thread(work)
            FIT_SECONDS.observe(time.perf_counter() - begun)
            version = await self._stores.heads.put(
                workspace.name, uid, 0 if base is None else base.version, basis.label_version, basis.text(), head
            )
            async with workspace.lock:
                if workspace.rows is not rows:
                    # Another project has the name by now, or another pool.
                    return
                workspace.training = training
                if version is not None:
                    workspace.head = StoredHead(
                        version=version, label_version=basis.label_version, basis=basis.text(), head=head
                    )
                else:
                    # Another replica was first; its head counts.
                    workspace.head = await self._stores.heads.newest(workspace.name)
                fitted = workspace.head
            if version is not None and fitted is not None:
                await self._signalling.note(workspace, uid, fitted, len(training), snapshot)
        finally:
            workspace.fit = None
            workspace.users -= 1

    async def _in_background(self, name: str) -> None:
        while True:
            self._again.discard(name)
            try:
                async with self._residents.entered(name) as workspace:
                    await self._following.catch_up(workspace)
                    await self.fresh(workspace)
            except Exception as error:  # noqa: BLE001 - the Select that needs the head meets the error and answers it
                LOGGER.warning(
                    "a fit in the background failed; the next Select tries again",
                    extra={"project": name, "error": f"{type(error).__name__}: {error}"},
                )
            if name not in self._again:
                return

    def _ended(self, name: str) -> None:
        self._background.pop(name, None)
        if name in self._again:
            self._again.discard(name)
            self.begin(name)


def _has_seen(head: StoredHead | None, wanted: Basis) -> bool:
    """Tells whether a head was fit on `wanted`, or on newer labels."""
    return head is not None and (head.basis == wanted.text() or head.label_version > wanted.label_version)


def _follow(training: TrainingSet, changed: dict[int, int | None], snapshot: PoolSnapshot) -> None:
    """Brings the training set up to the labels."""
    training.without_class([row for row, number in changed.items() if number is None])
    classes = {row: number for row, number in changed.items() if number is not None}
    missing = training.reclassify(classes)
    if missing:
        training.add(missing, [classes[row] for row in missing], snapshot.gather(np.array(missing)))
