"""A pool as one head sees it: what acquisition functions look at, computed when asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from services.selector.acquisition import Embeddings, Parameters, Representation, Scope, ScoreFunction, Sized
from services.selector.heads import Evidence, Head, Posterior
from services.selector.scoring.embeddings import BlockEmbeddings
from services.selector.scoring.products import SPAN_ROWS, Products
from services.selector.scoring.shelf import Shelf
from services.selector.stores import PoolSnapshot

Flags = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_Value = TypeVar("_Value", bound=Sized)
_Scalar = TypeVar("_Scalar", bound=np.generic)

_BLOCK_ROWS = 8 * SPAN_ROWS


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A head, and what is known of its fit.

    Attributes:
        head: the head.
        version: its version.
        inverse_regularization: C of a LOGISTIC head; of another it is not used.
        balanced: whether labels counted inversely to their class's frequency.
    """

    head: Head
    version: int
    inverse_regularization: float
    balanced: bool


class PoolView:
    """Implements `services.selector.acquisition.View`.

    Args:
        products: what multiplies.
        shelf: where values are kept.
        snapshot: the pool.
        pool: its name, for keys.
        project: what tells the project from others, for keys.
        seen: the head; None without one.
        free: (N,), the rows that may be picked.
        labeled: (M,), ascending.
        classes: (M,), numbers into the head's labels, -1 for none.
        reserved: rows that others hold, ascending.
    """

    def __init__(
        self,
        *,
        products: Products,
        shelf: Shelf,
        snapshot: PoolSnapshot,
        pool: str,
        project: str,
        seen: Seen | None,
        free: Flags,
        labeled: Rows,
        classes: Rows,
        reserved: Rows,
    ) -> None:
        self.free = free
        self.labeled = labeled
        self.classes = classes
        self.reserved = reserved
        self._products = products
        self._shelf = shelf
        self._rows = len(snapshot)
        self._seen = seen
        self._keys: dict[Scope, tuple[Hashable, Hashable]] = {
            Scope.POOL: (pool, snapshot.incarnation),
            Scope.PROJECT: ((pool, project), snapshot.incarnation),
        }
        if seen is not None:
            self._keys[Scope.HEAD] = ((pool, project), (snapshot.incarnation, seen.version))
        self.embeddings: Embeddings = pool_embeddings(products, shelf, snapshot, pool)

    @property
    def head(self) -> Head:
        """The head."""
        return self._known.head

    def representation(self, parameters: Parameters) -> Embeddings:
        """Returns the embeddings, or the head's penultimate activations where it has them."""
        head = None if self._seen is None else self._seen.head
        if parameters.representation is Representation.EMBEDDINGS or head is None:
            return self.embeddings
        width = head.penultimate(np.zeros((1, head.projection.weights.shape[1]), np.float32))
        if width is None:
            return self.embeddings
        blocks = self.kept(Scope.HEAD, "penultimate", lambda known: self._activations(known, head, width.shape[1]))
        return BlockEmbeddings(
            self._products,
            blocks.arrays,
            width.shape[1],
            blocks.gather,
            lambda found: self.kept(Scope.HEAD, "penultimate squared norms", found.computed_norms),
        )

    def probabilities(self) -> Float32:
        """Returns class probabilities of all rows, (N, C), read-only; kept until there is a new head."""
        head = self.head

        def update(known: Float32 | None) -> Float32:
            if known is not None and len(known) == self._rows:
                return known
            probs, start = _extended(known, (self._rows, len(head.labels)), np.float32)

            def keep(first: int, outputs: Float32) -> None:
                probs[first : first + len(outputs)] = head.probabilities(outputs)

            self.embeddings.each(head.projection, keep, start)
            probs.flags.writeable = False
            return probs

        return self.kept(Scope.HEAD, "probabilities", update)

    def posterior(self, parameters: Parameters) -> Posterior:
        """Returns samples of the head, a function of the head and the parameters alone; kept."""
        key = ("posterior", parameters.samples, parameters.posterior, parameters.dropout)

        def update(known: _KeptPosterior | None) -> _KeptPosterior:
            return known or _KeptPosterior(self.head.posterior(parameters.sampling(), self.evidence))

        return self.kept(Scope.HEAD, key, update).posterior

    def evidence(self) -> Evidence:
        """Returns what the head was fit on: the labeled embeddings and their classes."""
        known = self.classes >= 0
        return Evidence(
            embeddings=self.embeddings.gather(self.labeled[known]),
            classes=self.classes[known],
            penalty=mean_squared_norm(self.embeddings) / self._known.inverse_regularization,
            balanced=self._known.balanced,
        )

    def sampled_probabilities(self, rows: npt.ArrayLike, parameters: Parameters) -> Float32:
        """Returns samples of class probabilities of some rows, (S, n, C)."""
        posterior = self.posterior(parameters)
        return posterior.probabilities(self._products.project(self.embeddings.gather(rows), posterior.projection))

    def scores(self, function: ScoreFunction, parameters: Parameters) -> Float64:
        """Returns the scores of all rows, (N,), read-only; kept until there is a new head."""

        def update(known: Float64 | None) -> Float64:
            if known is not None and len(known) == self._rows:
                return known
            scores, start = _extended(known if function.grows else None, (self._rows,), np.float64)
            prepared = function.prepare(self, parameters)

            def keep(first: int, outputs: Float32) -> None:
                scores[first : first + len(outputs)] = prepared.scores(first, outputs)

            self.embeddings.each(prepared.projection, keep, start)
            scores.flags.writeable = False
            return scores

        return self.kept(Scope.HEAD, (function.name, parameters.key(function.uses)), update)

    def kept(self, scope: Scope, key: Hashable, update: Callable[[_Value | None], _Value]) -> _Value:
        """Returns a value that is kept between calls as long as memory allows."""
        owner, stamp = self._keys[scope]
        return self._shelf.kept((scope, owner, key), stamp, self._rows, update)

    @property
    def _known(self) -> Seen:
        if self._seen is None:
            raise TypeError("a function that needs a head was asked without one")
        return self._seen

    def _activations(self, known: _Blocks | None, head: Head, width: int) -> _Blocks:
        if known is not None and known.rows == self._rows:
            return known
        blocks = [
            np.empty((min(_BLOCK_ROWS, self._rows - first), width), np.float32)
            for first in range(0, self._rows, _BLOCK_ROWS)
        ]
        start = 0 if known is None else known.rows
        for block, before in zip(blocks, () if known is None else known.arrays, strict=False):
            block[: len(before)] = before

        def keep(first: int, outputs: Float32) -> None:
            found = head.penultimate(outputs)
            if found is not None:
                # A span never crosses a block: blocks are whole spans.
                block, at = divmod(first, _BLOCK_ROWS)
                blocks[block][at : at + len(found)] = found

        self.embeddings.each(head.projection, keep, start)
        return _Blocks(blocks, self._rows)


def pool_embeddings(products: Products, shelf: Shelf, snapshot: PoolSnapshot, pool: str) -> BlockEmbeddings:
    """Returns a pool's embeddings, whose norms are kept for all its projects."""
    return BlockEmbeddings(
        products,
        snapshot.blocks(),
        snapshot.dimension,
        snapshot.gather,
        lambda found: shelf.kept(
            (Scope.POOL, pool, "squared norms"), snapshot.incarnation, len(snapshot), found.computed_norms
        ),
    )


def mean_squared_norm(embeddings: Embeddings) -> float:
    """Returns the mean of ‖x‖², 1 where all embeddings are 0."""
    norms = embeddings.squared_norms()
    return float(norms.mean(dtype=np.float64)) if norms.any() else 1.0


@dataclass(frozen=True, slots=True)
class _KeptPosterior:
    """A posterior with its size."""

    posterior: Posterior

    @property
    def nbytes(self) -> int:
        """Bytes its projection takes."""
        projection = self.posterior.projection
        return projection.weights.nbytes + projection.offsets.nbytes


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Activations in blocks."""

    arrays: list[Float32]
    rows: int

    @property
    def nbytes(self) -> int:
        """Bytes they take."""
        return sum(block.nbytes for block in self.arrays)

    def gather(self, rows: npt.ArrayLike) -> Float32:
        """Returns rows (n, H)."""
        wanted = np.atleast_1d(np.asarray(rows, np.int64))
        found = np.empty((len(wanted), self.arrays[0].shape[1]), np.float32)
        for number, block in enumerate(self.arrays):
            inside = wanted // _BLOCK_ROWS == number
            found[inside] = block[wanted[inside] - number * _BLOCK_ROWS]
        return found


def _extended(
    known: npt.NDArray[Any] | None, shape: tuple[int, ...], dtype: type[_Scalar]
) -> tuple[npt.NDArray[_Scalar], int]:
    """Returns an array of a shape that begins with what is known, and how many rows that is."""
    longer = np.empty(shape, dtype)
    start = 0 if known is None else len(known)
    if known is not None:
        longer[:start] = known
    return longer, start
