"""What is known about the rows of one incarnation of a pool. Here ids become rows."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import numpy.typing as npt

from services.selector.availability import Availability
from services.selector.changes import Released
from services.selector.ledger import Ledger
from services.selector.project import LabelRecord
from services.selector.stores import PoolSnapshot


class Rows:
    """A project's labels and reservations by row.

    Attributes:
        incarnation: of the pool.
        availability: which rows may be handed to whom.
        label_of: row to label, for the labeled rows.
        per_label: how many rows have each label; only labels that some row has.
        changed: rows whose label changed since `take_changed`.
    """

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.availability = Availability()
        self.label_of: dict[int, str] = {}
        self.per_label: Counter[str] = Counter()
        self.changed: set[int] = set()
        self._labeled: tuple[npt.NDArray[np.int64], tuple[str, ...]] | None = None
        # Records of items that are not in the pool: of one that was created again and is being filled again.
        self._missing: set[str] = set()

    def follow(self, ledger: Ledger, snapshot: PoolSnapshot) -> None:
        """Takes in what the ledger has learned. Costs what changed.

        The snapshot must be younger than the ledger, so that every item somebody said something about is in it.
        """
        grown = len(snapshot) > len(self.availability)
        self.availability.grow(len(snapshot))
        pending = ledger.take_pending()
        if grown and self._missing:
            pending |= self._missing
        if pending:
            self._take_labels(sorted(pending), ledger.labels, snapshot)
        self._take_reservations(ledger, snapshot)

    def labeled(self) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
        """Returns the labeled rows, (M,), ascending, and their labels. Costs nothing unless a label changed."""
        if self._labeled is None:
            rows = np.sort(np.fromiter(self.label_of, np.int64, len(self.label_of)))
            self._labeled = rows, tuple(self.label_of[row] for row in rows.tolist())
        return self._labeled

    def take_changed(self) -> set[int]:
        """Returns the rows whose label changed since the last call."""
        changed, self.changed = self.changed, set()
        return changed

    def _take_labels(self, ids: list[str], labels: dict[str, LabelRecord], snapshot: PoolSnapshot) -> None:
        rows = snapshot.rows_of(ids)
        there = rows >= 0
        settled = np.fromiter((item_id in labels for item_id in ids), np.bool_, len(ids))
        self.availability.settle(rows[there], settled[there])
        for item_id, row in zip(ids, rows.tolist(), strict=True):
            record = labels.get(item_id)
            if row < 0:
                if record is None:
                    self._missing.discard(item_id)
                else:
                    self._missing.add(item_id)
                continue
            self._missing.discard(item_id)
            self._set_label(row, None if record is None else record.label)

    def _set_label(self, row: int, label: str | None) -> None:
        self._labeled = None
        before = self.label_of.pop(row, None)
        if before is not None:
            self.per_label[before] -= 1
            if not self.per_label[before]:
                del self.per_label[before]
        if label is not None:
            self.label_of[row] = label
            self.per_label[label] += 1
        if before != label:
            self.changed.add(row)

    def _take_reservations(self, ledger: Ledger, snapshot: PoolSnapshot) -> None:
        anew, events = ledger.take_reservations()
        if anew:
            self.availability.release_all()
        if not events:
            return
        ids = list(chain.from_iterable(event.item_ids for event in events))
        rows, start = snapshot.rows_of(ids), 0
        for event in events:
            stop = start + len(event.item_ids)
            found = rows[start:stop]
            found, start = found[found >= 0], stop
            if isinstance(event, Released):
                self.availability.release(found)
            else:
                self.availability.reserve(found, event.annotator, event.until_ms)
