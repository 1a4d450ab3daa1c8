"""Where a project's state is in Redis."""

from __future__ import annotations

from dataclasses import dataclass

INDEX = "prepal:projects"
"""Sorted set, all scores 0: one member `<name> NUL <uid>` for each project, in order of name."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one project. The braces are a Redis Cluster hash tag: all of them share a slot.

    Attributes:
        project: the project's name, which holds no braces.
    """

    project: str

    def _key(self, name: str) -> str:
        return f"prepal:{{{self.project}}}:{name}"

    @property
    def config(self) -> str:
        """Hash: uid, definition, settings, settings_version, label_version."""
        return self._key("config")

    @property
    def labels(self) -> str:
        """Hash: item id to JSON [label or null, annotator, milliseconds]."""
        return self._key("labels")

    @property
    def counts(self) -> str:
        """Hash: labeled, skipped, and `label:<name>` for each label."""
        return self._key("counts")

    @property
    def label_log(self) -> str:
        """Stream: every change of `labels` in order (item, action, label, annotator, time, version). Never trimmed."""
        return self._key("label_log")

    @property
    def reservations(self) -> str:
        """Sorted set: item id by the millisecond its reservation ends."""
        return self._key("reservations")

    @property
    def holders(self) -> str:
        """Hash: item id to the annotator who holds it; the same items as in `reservations`."""
        return self._key("reservation_holders")

    @property
    def head(self) -> str:
        """Hash: version, label_version, basis, description (JSON), tensors (safetensors)."""
        return self._key("head")

    @property
    def signals(self) -> str:
        """List: stopping signals of the heads that were compared, JSON, the oldest first."""
        return self._key("signals")

    @property
    def anchor(self) -> str:
        """Hash: head_version, and the predictions (JSON) that the next signals are compared with."""
        return self._key("anchor")

    @property
    def selections(self) -> str:
        """Stream, the audit trail: what each Select answered and from what, and what was released. Never trimmed."""
        return self._key("selections")

    @property
    def requests(self) -> str:
        """Hash: request id to what it stands for (see `kept`)."""
        return self._key("requests")

    @property
    def request_times(self) -> str:
        """Sorted set: request id by the millisecond it came first; the same ids as in `requests`."""
        return self._key("request_times")

    def all(self) -> list[str]:
        """Every key of the project."""
        return [
            self.config,
            self.labels,
            self.counts,
            self.label_log,
            self.reservations,
            self.holders,
            self.head,
            self.signals,
            self.anchor,
            self.selections,
            self.requests,
            self.request_times,
        ]
