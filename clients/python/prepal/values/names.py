"""Lists of names."""

from __future__ import annotations

from collections.abc import Iterable


def names(field: str, given: Iterable[str]) -> Iterable[str]:
    """Returns the names, unless they are one string, whose letters would be taken for names.

    Raises:
        ValueError: for one string.
    """
    if isinstance(given, str):
        raise ValueError(f"{field} must be a list of names, got the one string {given!r:.80}")
    return given
