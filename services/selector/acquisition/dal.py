"""DAL: the items that are told most easily from what is labeled."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.selector.acquisition.kinds import PickFunction, Picks
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.picking import best
from services.selector.acquisition.view import Embeddings, Float32, Float64, Rows, View
from services.selector.heads import LogisticFitter, LogisticHead, LogisticSettings

# Free rows that the discriminator is fit on: ten for each labeled one, within these.
_LEAST = 5_000
_MOST = 20_000
_SETTINGS: Final = LogisticSettings(inverse_regularization=1.0, balanced=True)
_SIDES: Final = ("labeled", "pool")


def dal(view: View, k: int, parameters: Parameters, generator: np.random.Generator) -> Picks:
    """Picks the free rows that a classifier of "labeled" against "pool" is surest to be of the pool.

    Discriminative active learning, Gissin & Shalev-Shwartz 2019: what is easily told from the labeled rows is not
    represented by them. The picks are taken in `parameters.sub_batches` parts as equal as can be, the first of them
    larger by one, or one at a time where k is smaller; after each the picks join the labeled side and the classifier is
    fit anew, so that later parts leave the regions of earlier ones. Rows reserved by others are on the labeled side.

    The classifier is logistic regression, C = 1 over embeddings of mean squared norm 1, both sides of equal weight as
    scikit-learn's "balanced". Its pool side is all free rows while they are at most 5,000, or ten for each labeled row,
    or 2 k, but no more than 20,000 for the sake of the labeled rows; else as many of them drawn at random. All free
    rows are scored.

    Over a fixed representation a linear classifier sees little of how dense the pool is (Vysogorets & Gopal): with
    `parameters.representation` a head with hidden layers offers its penultimate activations.

    Args:
        view: with at least one labeled or reserved row.
        k: rows wanted.
        parameters: see above.
        generator: draws the pool side.

    Returns:
        The picks; scores are the probabilities of "pool" when each was picked, 0 to 1. Ties go to the lower row.

    Costs a fit on up to 20,000 rows and a pass over the pool for each part.
    """
    space = view.representation(parameters)
    scale = float(space.squared_norms().mean(dtype=np.float64)) or 1.0
    free = view.free.copy()
    labeled = np.concatenate([view.labeled, view.reserved])
    wanted = min(k, int(np.count_nonzero(free)))
    pool = _sample(np.flatnonzero(free), max(min(max(10 * len(labeled), _LEAST), _MOST), 2 * wanted), generator)
    rows = np.concatenate([labeled, pool])
    sides = np.repeat([0, 1], [len(labeled), len(pool)])
    features = _features(space, rows)
    fitter = LogisticFitter(_SETTINGS)
    head: LogisticHead | None = None
    found: list[Picks] = []
    for part in np.array_split(np.arange(wanted), min(parameters.sub_batches, wanted)):
        head = fitter.fit(features, sides, _SIDES, scale, head)
        odds = _odds(space, head)
        picked = best(odds, free, len(part))
        found.append(Picks(picked, 1.0 / (1.0 + np.exp(-odds[picked]))))
        free[picked] = False
        sides[np.isin(rows, picked)] = 0
        new = np.setdiff1d(picked, rows)
        if len(new):
            rows = np.concatenate([rows, new])
            sides = np.concatenate([sides, np.zeros(len(new), np.int64)])
            features = np.concatenate([features, _features(space, new)])
    return Picks(np.concatenate([picks.rows for picks in found]), np.concatenate([picks.scores for picks in found]))


def _sample(rows: Rows, size: int, generator: np.random.Generator) -> Rows:
    return rows if size >= len(rows) else np.sort(generator.choice(rows, size, replace=False, shuffle=False))


def _features(space: Embeddings, rows: Rows) -> Float32:
    """Returns rows and a column of ones, (n, D + 1)."""
    return np.concatenate([space.gather(rows), np.ones((len(rows), 1), np.float32)], axis=1)


def _odds(space: Embeddings, head: LogisticHead) -> Float64:
    """Returns the log odds of "pool" of all rows, (N,)."""
    odds = np.empty(len(space))

    def keep(first: int, outputs: Float32) -> None:
        odds[first : first + len(outputs)] = outputs[:, 0]

    space.each(head.projection, keep)
    return odds


DAL = PickFunction(name="DAL", pick=dal, needs_labels=True, uses=frozenset({"sub_batches", "representation"}))
