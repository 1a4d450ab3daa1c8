"""What all libraries are given: one pool, its labels and one head, as .npy files. Needs numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files in a folder, read when they are asked for: a process pays for what its function uses.

    Attributes:
        folder: where they are.
        head: the name of the head whose samples are meant.
    """

    folder: Path
    head: str

    @property
    def embeddings(self) -> npt.NDArray[np.float16]:
        """The pool, (N, D)."""
        return self._read("embeddings", np.float16)

    @property
    def classes(self) -> Rows:
        """The true classes of all rows, (N,)."""
        return self._read("classes", np.int64)

    @property
    def labeled(self) -> Rows:
        """The rows with a label, (M,), ascending."""
        return self._read("labeled", np.int64)

    @property
    def free(self) -> Rows:
        """The rows without one, ascending."""
        return np.setdiff1d(np.arange(len(self.classes)), self.labeled)

    @property
    def weights(self) -> Float32:
        """The head's weights, (C, D)."""
        return self._read("weights", np.float32)

    @property
    def offsets(self) -> Float32:
        """The head's intercepts, (C,)."""
        return self._read("offsets", np.float32)

    @property
    def head_path(self) -> Path:
        """Where the head itself is, as the selector stores it."""
        return self.folder / f"head-{self.head}"

    @property
    def samples(self) -> Float32:
        """Samples of class probabilities of all rows, (S, N, C)."""
        return self._read(self.samples_path.stem, np.float32)

    @property
    def samples_path(self) -> Path:
        """Where the samples are, if a function needed them."""
        return self.folder / f"samples-{self.head}.npy"

    def write(self, **arrays: npt.NDArray[Any]) -> None:
        """Writes some of the files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            np.save(self.folder / f"{name}.npy", array)

    def _read(self, name: str, dtype: type[_Scalar]) -> npt.NDArray[_Scalar]:
        found: npt.NDArray[_Scalar] = np.load(self.folder / f"{name}.npy").astype(dtype, copy=False)
        return found
