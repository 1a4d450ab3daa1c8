"""Heads: small per-project predictors over embeddings. Pure: arrays in, arrays out."""

from services.selector.heads.curvature import Curvature
from services.selector.heads.head import Ability, Head, Projection
from services.selector.heads.logistic import LogisticFitter, LogisticHead, LogisticSettings
from services.selector.heads.posterior import Evidence, Posterior, PosteriorKind, Sampling
from services.selector.heads.training import TrainingSet
from services.selector.heads.wire import head_from_bytes, head_to_bytes

__all__ = [
    "Ability",
    "Curvature",
    "Evidence",
    "Head",
    "LogisticFitter",
    "LogisticHead",
    "LogisticSettings",
    "Posterior",
    "PosteriorKind",
    "Projection",
    "Sampling",
    "TrainingSet",
    "head_from_bytes",
    "head_to_bytes",
]
