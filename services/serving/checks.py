"""Checks of a request's fields, all of them before anything is refused."""

from __future__ import annotations

import re

from services.serving.errors import InvalidRequest, Violation

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Checks:
    """Collects what is wrong with a request, so that one answer names every field at fault.

    >>> checks = Checks()
    >>> checks.between("k", 0, 1, 1000)
    >>> checks.done()
    Traceback (most recent call last):
    services.serving.errors.InvalidRequest: k must be between 1 and 1000, got 0
    """

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def refuse(self, field: str, message: str) -> None:
        """Notes that a field cannot be taken; the message says limit, value and remedy."""
        self._violations.append(Violation(field, message))

    def name(self, field: str, value: str) -> None:
        """Wants a name: 1 to 128 of a-z A-Z 0-9 . _ -, beginning with a letter or digit."""
        if not value:
            self.refuse(field, f"{field} must be given, got an empty name")
        elif not _NAME.fullmatch(value):
            limits = "1 to 128 of a-z A-Z 0-9 . _ - and begin with a letter or digit"
            self.refuse(field, f"{field} must be {limits}, got {shown(value)}")

    def between(self, field: str, value: float, low: float, high: float) -> None:
        """Wants low <= value <= high; a value that is not a number fails."""
        if not low <= value <= high:
            self.refuse(field, f"{field} must be between {_number(low)} and {_number(high)}, got {_number(value)}")

    def not_empty(self, field: str, value: str) -> None:
        """Wants a text that is not only white space."""
        if not value.strip():
            self.refuse(field, f"{field} must not be empty, got {shown(value)}")

    def at_most_bytes(self, field: str, value: str, limit: int) -> None:
        """Wants at most `limit` bytes of UTF-8."""
        size = len(value.encode())
        if size > limit:
            self.refuse(field, f"{field} must be at most {limit} bytes long, got {size}: {shown(value)}")

    def done(self) -> None:
        """Raises InvalidRequest when anything was wrong."""
        if self._violations:
            raise InvalidRequest(self._violations)


def shown(value: str, limit: int = 60) -> str:
    """Returns a client's value as it may stand in a message: quoted, on one line, cut."""
    return repr(value if len(value) <= limit else value[:limit] + "…")


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
