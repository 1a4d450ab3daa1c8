"""small-text. Runs in an environment of its own; see `peer_process`."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from small_text import (
    BreakingTies,
    ContrastiveActiveLearning,
    DiscriminativeActiveLearning,
    GreedyCoreset,
    LeastConfidence,
    PredictionEntropy,
    RandomSampling,
    SklearnClassifierFactory,
    SklearnDataset,
)
from small_text.integrations.pytorch.query_strategies.strategies import BADGE
from small_text.query_strategies.bayesian import BALD

from bench.acquisition.inputs import Inputs
from bench.acquisition.peer_process import Call, Prepare, answer

_NEIGHBOURS = 10
_SUB_BATCHES = 10


class _Head:
    """The head as a classifier of small-text: over a data set, it predicts and embeds."""

    def __init__(self, inputs: Inputs) -> None:
        self._weights, self._offsets = inputs.weights.T, inputs.offsets

    def predict_proba(self, dataset: Any) -> Any:
        return softmax(dataset.x @ self._weights + self._offsets, axis=1)

    def embed(self, dataset: Any, return_proba: bool = False, pbar: Any = None) -> Any:  # noqa: ARG002
        return (dataset.x, self.predict_proba(dataset)) if return_proba else dataset.x


class _Samples:
    """Samples of the head's probabilities as a classifier."""

    def __init__(self, inputs: Inputs) -> None:
        self._samples = inputs.samples.transpose(1, 0, 2).astype(np.float64)

    def predict_proba(self, dataset: Any, dropout_sampling: int) -> Any:  # noqa: ARG002 - they were drawn before
        return self._samples


def _call(inputs: Inputs, strategy: Any, classifier: Any, k: int, seed: int) -> Call:
    np.random.seed(seed)  # noqa: NPY002 - what small-text draws from
    dataset = SklearnDataset(inputs.embeddings.astype(np.float32), inputs.classes)
    free, labeled = inputs.free, inputs.labeled
    known = inputs.classes[labeled]
    return Call(type(strategy).__name__, lambda: strategy.query(classifier, dataset, free, labeled, known, n=k))


def _by_head(strategy: Any) -> Prepare:
    return lambda inputs, k, seed: _call(inputs, strategy, _Head(inputs), k, seed)


def _bald(inputs: Inputs, k: int, seed: int) -> Call:
    return _call(inputs, BALD(dropout_samples=len(inputs.samples)), _Samples(inputs), k, seed)


def _badge(inputs: Inputs, k: int, seed: int) -> Call:
    return _call(inputs, BADGE(num_classes=len(inputs.offsets)), _Head(inputs), k, seed)


def _discriminative(inputs: Inputs, k: int, seed: int) -> Call:
    strategy = DiscriminativeActiveLearning(SklearnClassifierFactory(LogisticRegression(), 2), _SUB_BATCHES, pbar=None)
    return _call(inputs, strategy, None, k, seed)


_PREPARED: dict[str, Prepare] = {
    "RANDOM": _by_head(RandomSampling()),
    "MAX_ENTROPY": _by_head(PredictionEntropy()),
    "VARIATION_RATIO": _by_head(LeastConfidence()),
    "MARGIN": _by_head(BreakingTies()),
    "CORESET": _by_head(GreedyCoreset()),
    "CONTRASTIVE": _by_head(ContrastiveActiveLearning(k=_NEIGHBOURS, pbar=None)),
    "BADGE": _badge,
    "DAL": _discriminative,
    "BALD": _bald,
}

if __name__ == "__main__":
    answer(_PREPARED)
