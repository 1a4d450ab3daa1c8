"""Heads: small per-project predictors over embeddings. Pure: arrays in, arrays out."""

from services.selector.heads.head import Head, Projection
from services.selector.heads.logistic import LogisticFitter, LogisticHead, LogisticSettings
from services.selector.heads.training import TrainingSet
from services.selector.heads.wire import head_from_bytes, head_to_bytes

__all__ = [
    "Head",
    "LogisticFitter",
    "LogisticHead",
    "LogisticSettings",
    "Projection",
    "TrainingSet",
    "head_from_bytes",
    "head_to_bytes",
]
