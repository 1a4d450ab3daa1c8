"""All that people said about a project's items, as one process knows it."""

from __future__ import annotations

from collections.abc import Sequence

from services.selector.changes import Changes, Released, Reserved
from services.selector.project import LabelRecord


class Ledger:
    """Follows a project's labels and reservations by item id, and remembers what the rows have not been told.

    Takes about 300 bytes a label.

    Attributes:
        label_version: of what is known.
        labels: item id to what is recorded about it.
        pending: ids whose record changed since `take_pending`.
    """

    def __init__(self) -> None:
        self.label_version = 0
        self.labels: dict[str, LabelRecord] = {}
        self.pending: set[str] = set()
        self._reservations: list[Reserved | Released] = []
        self._reservations_anew = False
        self._ordered: tuple[int, list[str]] = (-1, [])

    def apply(self, changes: Changes) -> None:
        """Takes in what changed."""
        if changes.labels_whole:
            self.pending.update(self.labels)
            self.labels.clear()
        for item_id, record in changes.labels:
            if record is None:
                self.labels.pop(item_id, None)
            else:
                self.labels[item_id] = record
            self.pending.add(item_id)
        self.label_version = changes.label_version
        if changes.labels_whole or changes.labels:
            self._ordered = (-1, [])
        if changes.reservations_whole:
            self._reservations_anew = True
            self._reservations.clear()
        self._reservations.extend(changes.reservations)

    def take_pending(self) -> set[str]:
        """Returns the ids whose record changed since the last call."""
        pending, self.pending = self.pending, set()
        return pending

    def take_reservations(self) -> tuple[bool, Sequence[Reserved | Released]]:
        """Returns what was reserved and released since the last call, and whether that is all there is."""
        anew, events = self._reservations_anew, self._reservations
        self._reservations_anew, self._reservations = False, []
        return anew, events

    def ordered(self) -> list[str]:
        """Returns the ids that have a record, in order. Costs sorting after a change, else nothing."""
        version, ids = self._ordered
        if version != self.label_version:
            ids = sorted(self.labels)
            self._ordered = (self.label_version, ids)
        return ids
