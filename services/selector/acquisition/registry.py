"""Every acquisition function by its name on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.selector.acquisition.badge import BADGE
from services.selector.acquisition.bald import BALD
from services.selector.acquisition.batch_bald import BATCH_BALD
from services.selector.acquisition.cluster_margin import CLUSTER_MARGIN
from services.selector.acquisition.contrastive import CONTRASTIVE
from services.selector.acquisition.core_set import CORESET
from services.selector.acquisition.dal import DAL
from services.selector.acquisition.density import DENSITY
from services.selector.acquisition.dfal import DFAL
from services.selector.acquisition.egl import EGL
from services.selector.acquisition.goral import GORAL
from services.selector.acquisition.k_means import KMEANS
from services.selector.acquisition.k_means_margin import KMEANS_MARGIN
from services.selector.acquisition.kinds import AcquisitionFunction
from services.selector.acquisition.margin import MARGIN
from services.selector.acquisition.max_entropy import MAX_ENTROPY
from services.selector.acquisition.power_bald import POWER_BALD
from services.selector.acquisition.prob_cover import PROB_COVER
from services.selector.acquisition.random import RANDOM
from services.selector.acquisition.typiclust import TYPICLUST
from services.selector.acquisition.variation_ratio import VARIATION_RATIO

REGISTRY: Final[Mapping[str, AcquisitionFunction]] = {
    function.name: function
    for function in (
        RANDOM,
        MAX_ENTROPY,
        VARIATION_RATIO,
        MARGIN,
        BALD,
        BATCH_BALD,
        POWER_BALD,
        EGL,
        DFAL,
        GORAL,
        CONTRASTIVE,
        CORESET,
        DAL,
        BADGE,
        KMEANS,
        KMEANS_MARGIN,
        DENSITY,
        CLUSTER_MARGIN,
        TYPICLUST,
        PROB_COVER,
    )
}
