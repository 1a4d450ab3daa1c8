"""Runs a library's answer in a process of its own, so that its memory is its own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
# What starting, importing, reading the inputs and warming up may take beside the call. The process ends a call that
# takes too long by itself, unless that call never comes back to Python.
_BESIDE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Library:
    """A library with acquisition functions, ours or a peer.

    Attributes:
        name: for the table.
        python: that has it.
        module: of this package, that answers.
        seconds: a call may take.
        bytes: of address space a call may take.
    """

    name: str
    python: Path
    module: str
    seconds: float
    bytes: int

    def ask(self, **request: Any) -> dict[str, Any]:
        """Returns what the module answers to a request, with `skipped` where it says nothing in time."""
        line = json.dumps({**request, "seconds": self.seconds, "bytes": self.bytes}, default=str)
        try:
            done = subprocess.run(
                [str(self.python), "-m", self.module, line],
                cwd=_ROOT,
                capture_output=True,
                text=True,
                timeout=self.seconds + _BESIDE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return {"skipped": f"more than {self.seconds:g} s"}
        if done.returncode:
            return {"skipped": f"failed: {(done.stderr.strip().splitlines() or [f'status {done.returncode}'])[-1]}"}
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer
