"""Acquisition functions: which unlabeled items are worth a person's time. Pure: arrays in, scores or picks out."""

from services.selector.acquisition.installed import installed
from services.selector.acquisition.kinds import (
    AcquisitionFunction,
    PickFunction,
    Picks,
    RowScores,
    ScoreFunction,
    of_probabilities,
)
from services.selector.acquisition.parameters import DEFAULTS, RANGES, Parameters, Representation, parameters_from
from services.selector.acquisition.picking import best
from services.selector.acquisition.registry import REGISTRY
from services.selector.acquisition.view import Embeddings, Scope, Sized, View

__all__ = [
    "DEFAULTS",
    "RANGES",
    "REGISTRY",
    "AcquisitionFunction",
    "Embeddings",
    "Parameters",
    "PickFunction",
    "Picks",
    "Representation",
    "RowScores",
    "Scope",
    "ScoreFunction",
    "Sized",
    "View",
    "best",
    "installed",
    "of_probabilities",
    "parameters_from",
]
