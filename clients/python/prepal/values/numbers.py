"""Whole numbers on their way to the wire, whose own errors do not name the field."""

from __future__ import annotations

from operator import index


def count(field: str, value: int | None, *, bits: int = 32) -> int:
    """Returns a whole number that the wire can carry; None is 0, "not said".

    The service checks the field's own range. Here is checked only what cannot travel.

    Raises:
        ValueError: for a negative number, or one of more than `bits` bits.
        TypeError: for what is no whole number.
    """
    if value is None:
        return 0
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{field} must be a whole number, got {value!r:.80}") from None
    if not 0 <= number < 2**bits:
        raise ValueError(f"{field} must be between 0 and {2**bits - 1}, got {number}")
    return number
