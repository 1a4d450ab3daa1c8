"""Progress bars, on stderr, only where somebody can see them."""

from __future__ import annotations

import sys
from collections.abc import Sized
from types import TracebackType
from typing import Any, Self


class Bar:
    """A tqdm bar, or nothing.

    Args:
        shown: True for a bar whatever stderr is, False for none, None for one where stderr is a terminal.
        what: what is counted, in front of the bar.
        unit: the unit of the count.
        total: how many there will be, if that is known.
        scaled: whether large counts are shortened to k and M, as suits bytes.
    """

    def __init__(
        self, shown: bool | None, what: str, unit: str, *, total: int | None = None, scaled: bool = False
    ) -> None:
        self._bar: Any = None
        if shown or (shown is None and sys.stderr.isatty()):
            # Imported here: most uses of the SDK show no bar, and this keeps `import prepal` fast.
            from tqdm import tqdm

            self._bar = tqdm(desc=what, unit=f" {unit}", total=total, unit_scale=scaled, dynamic_ncols=True)

    def to(self, count: int, *, total: int | None = None, note: str = "") -> None:
        """Moves the bar to a count, perhaps of another total, with a note behind it."""
        if self._bar is None:
            return
        if total is not None:
            self._bar.total = total
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(count - self._bar.n)

    def named(self, what: str) -> None:
        """Changes what stands in front of the bar."""
        if self._bar is not None:
            self._bar.set_description_str(what, refresh=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def length_of(values: object) -> int | None:
    """Returns how many values there are, None when only iterating them would tell."""
    return len(values) if isinstance(values, Sized) else None
