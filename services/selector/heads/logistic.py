"""LOGISTIC: logistic regression with an L2 penalty, scikit-learn's `LogisticRegression` in definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.selector.heads.curvature import Curvature
from services.selector.heads.head import Ability, Float32, Head, Projection
from services.selector.heads.loss import Float64, loss_of, sample_weights
from services.selector.heads.newton import minimize
from services.selector.heads.posterior import Evidence, Posterior, PosteriorKind, Sampling, linear_posterior
from services.selector.heads.preconditioner import MAX_FEATURES, Preconditioner
from services.selector.heads.seeding import dropout_masks, generator_of
from services.selector.heads.seen import seen_classes
from services.selector.heads.settings import LogisticSettings
from services.selector.heads.softmax import softmax, two_class_probabilities

# Outputs within about 3e-5 of the optimum's: probabilities within 1e-5.
_TOLERANCE: Final = 3e-4


@dataclass(frozen=True, slots=True, eq=False)
class LogisticHead:
    """Logistic regression that was fit.

    Attributes:
        labels: the labels seen, C of them, in the order of probability columns.
        weights: float32, shape (J, D), J = 1 for two classes, else C, over embeddings as the pool has them.
        offsets: float32, shape (J,).
    """

    labels: tuple[str, ...]
    weights: Float32
    offsets: Float32

    @property
    def kind(self) -> str:
        """The name it is stored under."""
        return LogisticSettings.kind

    @property
    def abilities(self) -> Ability:
        """What it can tell."""
        return LogisticSettings().abilities

    @property
    def projection(self) -> Projection:
        """Embeddings to logits."""
        return Projection(np.ascontiguousarray(self.weights.T), self.offsets)

    def probabilities(self, outputs: Float32) -> Float64:
        """Returns probabilities (n, C) from logits (n, J)."""
        logits = outputs.astype(np.float64)
        if len(self.labels) == 2:
            return two_class_probabilities(logits[:, 0])
        return softmax(logits)

    def decisions(self, outputs: Float32) -> Float64:
        """Returns logits (n, C); of two classes, half the log odds with either sign."""
        logits = outputs.astype(np.float64)
        return np.concatenate([-logits, logits], axis=1) / 2 if len(self.labels) == 2 else logits

    def penultimate(self, outputs: Float32) -> Float32 | None:  # noqa: ARG002 - the embedding is what it sees
        """Returns None: the head is linear."""
        return None

    def posterior(self, sampling: Sampling, evidence: Callable[[], Evidence]) -> Posterior:
        """Returns samples of the head: dropout on its inputs, or the Laplace approximation.

        DROPOUT: a mask of the D inputs a sample; the evidence is not gathered. The intercepts are not dropped. Gal &
        Ghahramani 2016, dropout as a Bayesian approximation, over fixed embeddings: (x ∘ m) W = x (m ∘ W).

        LAPLACE: draws from the Gaussian at the head's weights whose covariance is the inverse of its loss's second
        derivative. MacKay 1992, the evidence framework applied to classification networks.

        Costs S · J · (D + 1) numbers, and for LAPLACE what `Curvature.sample` costs.
        """
        facts = (self.kind, self.labels, sampling.kind.value, sampling.samples)
        if sampling.kind is PosteriorKind.LAPLACE:
            generator = generator_of([self.weights, self.offsets], *facts)
            moves = Curvature.of(self, evidence()).sample(sampling.samples, generator).transpose(0, 2, 1)
            weights = (self.weights + moves[..., :-1]).astype(np.float32)
            return linear_posterior(weights, (self.offsets + moves[..., -1]).astype(np.float32), len(self.labels))
        generator = generator_of([self.weights, self.offsets], *facts, sampling.dropout)
        masks = dropout_masks(sampling.samples, self.weights.shape[1], sampling.dropout, generator)
        offsets = np.broadcast_to(self.offsets, (sampling.samples, len(self.offsets)))
        return linear_posterior(masks[:, None, :] * self.weights, offsets, len(self.labels))


class LogisticFitter:
    """Fits logistic heads of one project, one after the other; keeps between fits what makes the next one faster.

    What it keeps does not enter the result beyond rounding. Not safe to use from several threads at once.

    Args:
        settings: C and class weights.
    """

    def __init__(self, settings: LogisticSettings) -> None:
        self._settings = settings
        self._preconditioner: Preconditioner | None = None

    @property
    def settings(self) -> LogisticSettings:
        """How heads are fit."""
        return self._settings

    def fit(
        self,
        features: Float32,
        classes: npt.NDArray[np.integer[Any]],
        labels: Sequence[str],
        mean_squared_norm: float,
        start: Head | None = None,
    ) -> LogisticHead:
        """Fits a head on labeled embeddings.

        The penalty is that of embeddings x / √mean_squared_norm, on which C means the same for every backbone; the
        weights returned are for x itself. Minimizes Σ weightᵢ lossᵢ + ‖w‖² / (2 C), intercepts not penalized.

        Args:
            features: float32, shape (M, D + 1), embeddings and a column of ones.
            classes: shape (M,), numbers into `labels`; at least two different.
            labels: the project's labels.
            mean_squared_norm: of the pool's embeddings, more than 0.
            start: the head to start from, of any label set; None, or one of another kind, starts from zero.

        Returns:
            The head, of the labels that occur among `classes`, in the order of `labels`. The optimum to within about
            1e-5 in probability, wherever the search started.

        Costs 5 to 20 ms warm for M = 2,000, D = 768 and two classes on one core.
        """
        names, targets = seen_classes(classes, labels)
        loss = loss_of(targets, sample_weights(targets, self._settings.balanced), len(names))
        penalty = np.full(features.shape[1], mean_squared_norm / self._settings.inverse_regularization)
        penalty[-1] = 0.0
        solution = minimize(
            features,
            loss,
            penalty,
            _start(start if isinstance(start, LogisticHead) else None, names, features.shape[1]),
            self._prepared(features, penalty, loss.curvature),
            tolerance=_TOLERANCE,
        )
        found = solution.weights
        if len(names) > 2:
            # A constant added to every intercept changes nothing; without this it would drift from fit to fit.
            found[-1] -= found[-1].mean()
        found = found.astype(np.float32)
        return LogisticHead(names, np.ascontiguousarray(found[:-1].T), found[-1].copy())

    def _prepared(self, features: Float32, penalty: Float64, curvature: float) -> Preconditioner | None:
        if features.shape[1] > MAX_FEATURES:
            return None
        kept = self._preconditioner
        if kept is None or not kept.fits(len(features), penalty, curvature):
            kept = self._preconditioner = Preconditioner(features, penalty, curvature)
        return kept


def _start(head: LogisticHead | None, labels: tuple[str, ...], features: int) -> Float64:
    """Returns weights (D + 1, J) to start from: those of labels that `head` knows, else 0."""
    outputs = 1 if len(labels) == 2 else len(labels)
    weights = np.zeros((features, outputs))
    if head is None or head.weights.shape[1] != features - 1:
        return weights
    known = np.concatenate([head.weights, head.offsets[:, None]], axis=1).astype(np.float64)
    if head.labels == labels:
        return known.T.copy()
    columns = dict(zip(head.labels, np.concatenate([-known, known]) / 2 if len(known) == 1 else known, strict=True))
    vectors = [columns.get(label, np.zeros(features)) for label in labels]
    if outputs == 1:
        difference: Float64 = vectors[1] - vectors[0]
        return difference[:, None]
    return np.stack(vectors, axis=1)
