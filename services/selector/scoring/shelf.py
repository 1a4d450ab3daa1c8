"""What was computed and may be asked for again, in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from services.selector.acquisition import Sized

_Value = TypeVar("_Value", bound=Sized)


@dataclass(slots=True)
class _Entry:
    """One key's value, and what it was computed of."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    stamp: Hashable = None
    rows: int = 0
    value: Any = None
    bytes: int = 0


class Shelf:
    """Keeps values of all projects and pools; the longest unused go when they take more than the limit.

    Nothing here is the truth: all of it can be computed again. Safe to use from several threads; one key's value is
    computed by one of them while the others wait for it.

    Args:
        limit_bytes: what the values may take together. The newest value is kept whatever it takes.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Memory the values take."""
        return self._bytes

    def kept(self, key: Hashable, stamp: Hashable, rows: int, update: Callable[[_Value | None], _Value]) -> _Value:
        """Returns the value of a key.

        Args:
            key: what it is.
            stamp: what it was computed of; a value of another stamp is forgotten.
            rows: of the pool; a value of more rows does not serve, and stays for those who have as many.
            update: returns the value from that of an earlier call, of as many rows or fewer, or from None.
        """
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
        with entry.lock:
            same = entry.stamp == stamp
            if same and entry.rows > rows:
                return update(None)
            value = update(entry.value if same else None)
            entry.stamp, entry.rows, entry.value = stamp, rows, value
            self._account(key, entry, value.nbytes)
        return value

    def _account(self, key: Hashable, entry: _Entry, size: int) -> None:
        with self._lock:
            if self._entries.get(key) is not entry:
                # It was dropped while it was computed.
                return
            self._bytes += size - entry.bytes
            entry.bytes = size
            while self._bytes > self._limit_bytes and len(self._entries) > 1:
                oldest = next(iter(self._entries))
                if oldest == key:
                    break
                self._bytes -= self._entries.pop(oldest).bytes
