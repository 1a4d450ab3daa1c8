"""What an acquisition function may look at."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from services.selector.heads import Evidence, Head, Posterior, Projection

if TYPE_CHECKING:
    from services.selector.acquisition.kinds import ScoreFunction
    from services.selector.acquisition.parameters import Parameters

Flags = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class Sized(Protocol):
    """A value whose memory is counted."""

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""


_Value = TypeVar("_Value", bound=Sized)


class Scope(enum.Enum):
    """What a kept value depends on, beside its key and the number of rows."""

    # The pool alone: all its projects share the value.
    POOL = "pool"
    # The project: its labels and reservations too.
    PROJECT = "project"
    # The project's head, and the labels that were known when it was first asked: gone when there is a new head.
    HEAD = "head"


class Embeddings(Protocol):
    """An (N, D) matrix that is larger than what should be held in float32; read in chunks on a few threads."""

    @property
    def dimension(self) -> int:
        """D."""

    def __len__(self) -> int:
        """Returns N."""

    def gather(self, rows: npt.ArrayLike) -> Float32:
        """Returns rows (n, D) in the order asked, a copy."""

    def each(self, projection: Projection, consume: Callable[[int, Float32], None], start: int = 0) -> None:
        """Multiplies all rows from `start` on with a projection (D, J), in one pass.

        Args:
            projection: what the rows are multiplied with.
            consume: takes a span's first row and its outputs, float32, shape (n, J), in column order: reductions
                over J are fast, and so is `outputs.T`. Spans are disjoint and come in any order, on several threads
                at once. The first span may begin up to 1,023 rows before `start`.
            start: the first row wanted.
        """

    def squared_norms(self) -> Float32:
        """Returns ‖x‖², (N,), read-only; kept."""


class View(Protocol):
    """One pool, as one head sees it, at one moment of one project.

    Everything is computed when it is asked for, and kept: a function pays for what it uses.

    Attributes:
        free: (N,), the rows that may be picked.
        labeled: (M,), the rows with a label, ascending.
        classes: (M,), the labels of `labeled` as numbers into `head.labels`, -1 for one that the head has never seen,
            and for all of them without a head.
        reserved: the rows that other annotators hold, ascending: as good as labeled for whoever wants diverse picks.
    """

    free: Flags
    labeled: Rows
    classes: Rows
    reserved: Rows

    @property
    def head(self) -> Head:
        """The head. Only for functions that need one."""

    @property
    def embeddings(self) -> Embeddings:
        """The pool's embeddings."""

    def representation(self, parameters: Parameters) -> Embeddings:
        """Returns the embeddings, or the head's penultimate activations (N, H), as `parameters.representation` says."""

    def probabilities(self) -> Float32:
        """Returns class probabilities of all rows, (N, C), read-only; kept until there is a new head."""

    def posterior(self, parameters: Parameters) -> Posterior:
        """Returns samples of the head, a function of the head and the parameters alone; kept."""

    def evidence(self) -> Evidence:
        """Returns what the head was fit on: the labeled embeddings and their classes."""

    def sampled_probabilities(self, rows: npt.ArrayLike, parameters: Parameters) -> Float32:
        """Returns samples of class probabilities of some rows, (S, n, C)."""

    def scores(self, function: ScoreFunction, parameters: Parameters) -> Float64:
        """Returns the scores of all rows, (N,), read-only; kept until there is a new head."""

    def kept(self, scope: Scope, key: Hashable, update: Callable[[_Value | None], _Value]) -> _Value:
        """Returns a value that is kept between calls as long as memory allows.

        Args:
            scope: what the value depends on.
            key: the function's name and what else the value depends on, such as parameters.
            update: takes the value of an earlier call, made when the pool had as many rows or fewer, or None, and
                returns the value for this view: the same object, or another one. It must not change the earlier one.
                One call at a time for a key.
        """


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns the array, from now on read-only: it is kept and shared."""
    array.flags.writeable = False
    return array
