"""KMEANS_MARGIN: different items among those for which the head hesitates."""

from __future__ import annotations

import numpy as np

from services.selector.acquisition.k_means import k_means_picks
from services.selector.acquisition.kinds import PickFunction, Picks
from services.selector.acquisition.margin import MARGIN
from services.selector.acquisition.parameters import Parameters
from services.selector.acquisition.picking import best
from services.selector.acquisition.view import View


def _pick(view: View, k: int, parameters: Parameters, generator: np.random.Generator) -> Picks:
    """Clusters the candidates·k free rows of the smallest margin into k, and picks the nearest to each centre.

    Xu, Yu, Tresp, Xu & Wang 2003, representative sampling for text classification using support vector machines. They
    cluster what lies inside the margin of an SVM; a head without a margin of that kind has no such border, so that
    here it is a number of rows. The scores are the clusters' parts of the candidates.
    """
    rows = best(view.scores(MARGIN, parameters), view.free, parameters.candidates * k)
    return k_means_picks(view.embeddings, np.sort(rows), k, generator)


KMEANS_MARGIN = PickFunction(name="KMEANS_MARGIN", pick=_pick, needs=MARGIN.needs, uses=frozenset({"candidates"}))
