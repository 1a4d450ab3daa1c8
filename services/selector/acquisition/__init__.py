"""Acquisition functions: which unlabeled items are worth a person's time. Pure: arrays in, scores out."""

from services.selector.acquisition.kinds import AcquisitionFunction, OfGenerator, OfProbabilities
from services.selector.acquisition.picking import best
from services.selector.acquisition.registry import REGISTRY

__all__ = ["REGISTRY", "AcquisitionFunction", "OfGenerator", "OfProbabilities", "best"]
