"""sentence-transformers in an environment of its own, made under .bench/ where none is named."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.environments import python_with

_SCRIPT = Path(__file__).with_name("peer_process.py")


def peer_python(named: str | None = None) -> Path:
    """Returns the Python that has sentence-transformers; makes its environment the first time (minutes).

    Args:
        named: A Python that has it already; None for PREPAL_BENCH_PEER_PYTHON, or one of our own making.
    """
    named = named or os.environ.get("PREPAL_BENCH_PEER_PYTHON")
    # The same torch and transformers as ours, so that the difference is in the way of using them.
    packages = ["torch", "transformers", "sentence-transformers"]
    return Path(named) if named else python_with("sentence-transformers", packages)


class Peer:
    """A running sentence-transformers."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder

    def encode(self, texts: list[str]) -> tuple[float, npt.NDArray[np.float32]]:
        """Returns the seconds that encoding took, and the vectors, shape (n, D)."""
        path = self._folder / "texts.json"
        path.write_text(json.dumps(texts), encoding="utf-8")
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        seconds: float = _answer(self._process)
        vectors: npt.NDArray[np.float32] = np.load(f"{path}.npy")
        return seconds, vectors


@contextmanager
def running_peer(python: Path, model: Path, folder: Path) -> Iterator[Peer]:
    """Starts sentence-transformers with a model and yields it once it is loaded."""
    process = subprocess.Popen(
        [str(python), str(_SCRIPT), str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    try:
        _answer(process)
        yield Peer(process, folder)
    finally:
        process.kill()
        process.wait()


def _answer(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the peer ended with status {process.wait()}; run {_SCRIPT} by hand to see why")
    return json.loads(line)
