"""How backbones are run on this machine."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

ENGINES = ("auto", "torch", "openvino")
PRECISIONS = ("auto", "float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")
_MOST_WORKERS = 16
_GPU_WORKERS = 2


def usable_threads() -> int:
    """Returns the cores this process may use: its affinity, and the quota of its container where that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores


@dataclass(frozen=True, kw_only=True)
class EncodingOptions:
    """How backbones are run on this machine.

    Attributes:
        engine: "torch", "openvino", or "auto" for the faster one that keeps the vectors.
        precision: "float32", "bfloat16", or "auto" for the faster one that keeps the vectors.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        threads: Threads of all forward passes together on a CPU, 1 to 1,024.
        budget: Tokens of a batch, padding included; 0 for what suits the device.
        least_cosine: The least cosine similarity, to the float32 vectors of the same texts, at which "auto" uses a
            faster engine or precision, 0 to 1.
        cache: Where converted backbones and what was measured are kept; None keeps nothing.
    """

    engine: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    threads: int = field(default_factory=usable_threads)
    budget: int = 0
    least_cosine: float = 0.9999
    cache: Path | None = None

    def __post_init__(self) -> None:
        """Raises ValueError that names the option, its limit and its value."""
        for name, allowed in (("engine", ENGINES), ("precision", PRECISIONS), ("device", DEVICES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if not 1 <= self.threads <= 1024:
            raise ValueError(f"threads must be between 1 and 1024, got {self.threads}")
        if not 0 <= self.budget <= 4_194_304:
            raise ValueError(f"token-budget must be between 0 and 4194304, got {self.budget}")
        if not 0 <= self.least_cosine <= 1:
            raise ValueError(f"least-cosine must be between 0 and 1, got {self.least_cosine:g}")
        if self.engine == "openvino" and self.device == "cuda":
            raise ValueError("engine openvino runs on a CPU, got device 'cuda'; leave the engine to auto")

    def workers(self, *, on_gpu: bool) -> int:
        """Returns how many batches run at once: on a GPU, so many that copies overlap; on a CPU, one a core at most."""
        return _GPU_WORKERS if on_gpu else min(self.threads, _MOST_WORKERS)
