"""Which free rows a Select picks: the acquisition function, a sub-pool, and no near-duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.selector.acquisition import AcquisitionFunction, Parameters, PickFunction, Picks, ScoreFunction, best
from services.selector.heads import LogisticSettings
from services.selector.project import Project
from services.selector.scoring import PoolView, Products, Seen, Shelf, Similarity
from services.selector.stores import PoolSnapshot, StoredHead

Rows = npt.NDArray[np.int64]

# What a request's seed is drawn for, beside the function's own choices.
_SUB_POOL = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """How rows are chosen.

    Attributes:
        function: the acquisition function.
        cold_start: whether it is the project's cold-start one, because the one asked for cannot begin.
        head: the head it sees; None where there is none.
        seed: what random choices start from.
        parameters: what it reads.
        max_similarity: cosine from which items count as duplicates; None for no such thing.
    """

    function: AcquisitionFunction
    cold_start: bool
    head: StoredHead | None
    seed: int
    parameters: Parameters
    max_similarity: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What is known of the rows of a pool at one moment, as one annotator sees it.

    Attributes:
        free: (N,), the rows that may be handed out.
        labeled: ascending.
        labels: of `labeled`.
        reserved: rows that others hold, ascending.
    """

    free: npt.NDArray[np.bool_]
    labeled: Rows
    labels: tuple[str, ...]
    reserved: Rows


class Choosing:
    """Chooses rows.

    Args:
        products: what multiplies.
        shelf: what keeps values between calls.
    """

    def __init__(self, products: Products, shelf: Shelf) -> None:
        self._products = products
        self._shelf = shelf

    def view(
        self, project: Project, uid: str, snapshot: PoolSnapshot, head: StoredHead | None, situation: Situation
    ) -> PoolView:
        """Returns what an acquisition function sees."""
        seen = None
        if head is not None:
            settings = project.head
            logistic = settings if isinstance(settings, LogisticSettings) else LogisticSettings()
            seen = Seen(
                head=head.head,
                version=head.version,
                inverse_regularization=logistic.inverse_regularization,
                balanced=logistic.balanced,
            )
        numbers = {} if head is None else {label: number for number, label in enumerate(head.head.labels)}
        return PoolView(
            products=self._products,
            shelf=self._shelf,
            snapshot=snapshot,
            pool=project.pool,
            project=uid,
            seen=seen,
            free=situation.free,
            labeled=situation.labeled,
            classes=np.array([numbers.get(label, -1) for label in situation.labels], np.int64),
            reserved=situation.reserved,
        )

    def choose(self, view: PoolView, choice: Choice, k: int) -> Picks:
        """Returns up to k picks, best first; fewer where fewer are free and different enough."""
        size = choice.parameters.sub_pool
        if size is None:
            size = choice.function.sub_pool if isinstance(choice.function, PickFunction) else 0
        view.free = _drawn(view.free, size, choice.seed)
        if choice.max_similarity is None:
            return _picked(view, choice, k)
        return self._different(view, choice, k, choice.max_similarity)

    def _different(self, view: PoolView, choice: Choice, k: int, limit: float) -> Picks:
        """Picks, leaves out what is too similar to an earlier pick, and picks again until there are k or no more."""
        similarity = Similarity(view)
        view.free = view.free & (similarity.to_labeled() < limit)
        if len(view.reserved):
            view.free &= similarity.to(view.reserved) < limit
        rows, scores = np.empty(0, np.int64), np.empty(0)
        while len(rows) < k and view.free.any():
            picks = _picked(view, choice, k - len(rows))
            kept = similarity.apart(picks.rows, limit)
            rows = np.concatenate([rows, picks.rows[kept]])
            scores = np.concatenate([scores, picks.scores[kept]])
            # What was picked counts as taken for whoever wants diverse picks.
            view.reserved = np.union1d(view.reserved, picks.rows[kept])
            view.free = view.free & (similarity.to(picks.rows[kept]) < limit)
            view.free[rows] = False
        return Picks(rows, scores)


def _picked(view: PoolView, choice: Choice, k: int) -> Picks:
    if k < 1 or not view.free.any():
        return Picks(np.empty(0, np.int64), np.empty(0))
    function = choice.function
    if isinstance(function, ScoreFunction):
        scores = view.scores(function, choice.parameters)
        rows = best(scores, view.free, k)
        return Picks(rows, scores[rows])
    return function.pick(view, k, choice.parameters, np.random.default_rng(choice.seed))


def _drawn(free: npt.NDArray[np.bool_], size: int, seed: int) -> npt.NDArray[np.bool_]:
    """Returns so many of the free rows, drawn at random; all of them for a size of 0."""
    rows = np.flatnonzero(free)
    if not 0 < size < len(rows):
        return free
    drawn = np.zeros(len(free), np.bool_)
    drawn[np.random.default_rng([seed, _SUB_POOL]).choice(rows, size, replace=False)] = True
    return drawn
