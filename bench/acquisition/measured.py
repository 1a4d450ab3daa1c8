"""How long a call takes and how much memory it needs while it runs. Needs nothing but Linux."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

_Result = TypeVar("_Result")
_SELF = Path("/proc/self")
_RESET_PEAK = "5"


@dataclass(frozen=True, slots=True)
class Measured(Generic[_Result]):
    """A call that was measured.

    Attributes:
        seconds: it took.
        bytes: of memory beyond what the process had before, at most.
        result: what it returned.
    """

    seconds: float
    bytes: int
    result: _Result


def measured(call: Callable[[], _Result]) -> Measured[_Result]:
    """Calls and measures.

    The peak is the kernel's own, set back before the call. `ru_maxrss` cannot be set back, and begins with what the
    parent had.
    """
    gc.collect()
    (_SELF / "clear_refs").write_text(_RESET_PEAK)
    before = _kib("VmRSS")
    begun = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - begun
    return Measured(seconds, max(0, _kib("VmHWM") - before) << 10, result)


def _kib(field: str) -> int:
    for line in (_SELF / "status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}: this kernel does not count memory")
