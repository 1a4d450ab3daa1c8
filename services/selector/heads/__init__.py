"""Heads: small per-project predictors over embeddings. Pure: arrays in, arrays out."""

from services.selector.heads.curvature import Curvature
from services.selector.heads.fitters import Fitter, fitter_for
from services.selector.heads.head import Ability, Head, Projection
from services.selector.heads.logistic import LogisticFitter, LogisticHead
from services.selector.heads.mc_dropout import Layer, McDropoutHead
from services.selector.heads.mc_dropout_fitter import McDropoutFitter
from services.selector.heads.posterior import Evidence, Posterior, PosteriorKind, Sampling
from services.selector.heads.settings import (
    HeadSettings,
    LogisticSettings,
    McDropoutSettings,
    SvmSettings,
    settings_from_fields,
    settings_to_fields,
)
from services.selector.heads.svm import SvmFitter, SvmHead
from services.selector.heads.training import TrainingSet
from services.selector.heads.wire import head_from_bytes, head_to_bytes

__all__ = [
    "Ability",
    "Curvature",
    "Evidence",
    "Fitter",
    "Head",
    "HeadSettings",
    "Layer",
    "LogisticFitter",
    "LogisticHead",
    "LogisticSettings",
    "McDropoutFitter",
    "McDropoutHead",
    "McDropoutSettings",
    "Posterior",
    "PosteriorKind",
    "Projection",
    "Sampling",
    "SvmFitter",
    "SvmHead",
    "SvmSettings",
    "TrainingSet",
    "fitter_for",
    "head_from_bytes",
    "head_to_bytes",
    "settings_from_fields",
    "settings_to_fields",
]
