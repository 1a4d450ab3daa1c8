"""scikit-activeml. Runs in an environment of its own; see `peer_process`."""

from __future__ import annotations

from typing import Any

import numpy as np
from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import (
    Badge,
    ContrastiveAL,
    CoreSet,
    DiscriminativeAL,
    ProbCover,
    RandomSampling,
    TypiClust,
    UncertaintySampling,
    batch_bald,
)
from sklearn.linear_model import LogisticRegression

from bench.acquisition.inputs import Inputs
from bench.acquisition.peer_process import Call, Prepare, answer

_UNLABELED = -1
# Configurations of BatchBALD. It keeps configurations x rows x classes at once: 10,000 would take 6 GiB at 20,000 rows.
_CONFIGURATIONS = 1_000


def _pool(inputs: Inputs) -> tuple[Any, Any]:
    """Returns embeddings in float32, and classes with -1 for none."""
    labels = np.full(len(inputs.classes), _UNLABELED)
    labels[inputs.labeled] = inputs.classes[inputs.labeled]
    return inputs.embeddings.astype(np.float32), labels


def _logistic(inputs: Inputs, x: Any, y: Any) -> Any:
    """Returns its logistic regression with the head's weights."""
    classes = np.arange(int(inputs.classes.max()) + 1)
    wrapped = SklearnClassifier(LogisticRegression(), classes=classes, missing_label=_UNLABELED, random_state=0)
    wrapped.fit(x[inputs.labeled], y[inputs.labeled])
    inner = wrapped.estimator_
    inner.coef_ = inputs.weights.astype(inner.coef_.dtype)
    inner.intercept_ = inputs.offsets.astype(inner.intercept_.dtype)
    return wrapped


def _by_pool(strategy: type, **settings: Any) -> Prepare:
    def prepare(inputs: Inputs, k: int, seed: int) -> Call:
        x, y = _pool(inputs)
        made = strategy(missing_label=_UNLABELED, random_state=seed, **settings)
        return Call(strategy.__name__, lambda: made.query(x, y, batch_size=k))

    return prepare


def _by_head(strategy: type, **settings: Any) -> Prepare:
    def prepare(inputs: Inputs, k: int, seed: int) -> Call:
        x, y = _pool(inputs)
        head = _logistic(inputs, x, y)
        made = strategy(missing_label=_UNLABELED, random_state=seed, **settings)
        name = " ".join([strategy.__name__, *(value for value in settings.values() if isinstance(value, str))])
        return Call(name, lambda: made.query(x, y, clf=head, fit_clf=False, batch_size=k))

    return prepare


def _discriminative(inputs: Inputs, k: int, seed: int) -> Call:
    x, y = _pool(inputs)
    discriminator = SklearnClassifier(LogisticRegression(), missing_label=_UNLABELED)
    made = DiscriminativeAL(missing_label=_UNLABELED, random_state=seed)
    return Call("DiscriminativeAL", lambda: made.query(x, y, discriminator=discriminator, batch_size=k))


def _batch_bald(most: int | None, name: str) -> Prepare:
    def prepare(inputs: Inputs, k: int, seed: int) -> Call:
        free = inputs.free
        samples = inputs.samples[:, free].astype(np.float64)

        def run() -> Any:
            utilities = batch_bald(samples, most or k, n_MC_samples=_CONFIGURATIONS, random_state=seed)
            best = np.argsort(-utilities[0])[:k] if most else np.nanargmax(utilities, axis=1)
            return free[best]

        return Call(name, run)

    return prepare


_PREPARED: dict[str, Prepare] = {
    "RANDOM": _by_pool(RandomSampling),
    "MAX_ENTROPY": _by_head(UncertaintySampling, method="entropy"),
    "VARIATION_RATIO": _by_head(UncertaintySampling, method="least_confident"),
    "MARGIN": _by_head(UncertaintySampling, method="margin_sampling"),
    "CORESET": _by_pool(CoreSet),
    "BADGE": _by_head(Badge),
    "CONTRASTIVE": _by_head(ContrastiveAL, nearest_neighbors_dict={"n_neighbors": 10}),
    "DAL": _discriminative,
    "TYPICLUST": _by_pool(TypiClust),
    "PROB_COVER": _by_pool(ProbCover),
    "BALD": _batch_bald(1, "GreedyBALD's batch_bald"),
    "BATCH_BALD": _batch_bald(None, f"batch_bald {_CONFIGURATIONS:,}"),
}

if __name__ == "__main__":
    answer(_PREPARED)
