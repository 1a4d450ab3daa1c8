"""SVM: linear support vector machines, one class against the rest, scikit-learn's `LinearSVC`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.svm import LinearSVC

from services.selector.heads.head import Ability, Float32, Float64, Head, Projection
from services.selector.heads.posterior import Evidence, Posterior, Sampling
from services.selector.heads.seen import seen_classes
from services.selector.heads.settings import SvmSettings
from services.selector.heads.softmax import softmax

_TOLERANCE: Final = 1e-5
_MAX_STEPS: Final = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class SvmHead:
    """A linear support vector machine that was fit.

    Attributes:
        labels: the labels seen, C of them.
        weights: float32, shape (J, D), J = 1 for two classes, else C, over embeddings as the pool has them.
        offsets: float32, shape (J,).
    """

    labels: tuple[str, ...]
    weights: Float32
    offsets: Float32

    @property
    def kind(self) -> str:
        """The name it is stored under."""
        return SvmSettings.kind

    @property
    def abilities(self) -> Ability:
        """What it can tell."""
        return SvmSettings().abilities

    @property
    def projection(self) -> Projection:
        """Embeddings to decision values."""
        return Projection(np.ascontiguousarray(self.weights.T), self.offsets)

    def probabilities(self, outputs: Float32) -> Float64:
        """Returns a stand-in for probabilities (n, C), not calibrated: the softmax of the distances.

        An SVM has none. Rows sum to 1 and rank classes as the distances do; distances are measured in the mean width of
        the machines' margins, 1 / ‖w‖, so that the stand-in does not depend on how long embeddings are.
        """
        return softmax(self.decisions(outputs) * float(self._norms().mean()))

    def decisions(self, outputs: Float32) -> Float64:
        """Returns signed distances to the C hyperplanes, (n, C), in units of embeddings; of two classes (-d, d).

        Decision values over ‖w‖ of each class. They may rank classes otherwise than scikit-learn's `predict`, which
        compares decision values, whose unit is another one for each class.
        """
        distances = outputs.astype(np.float64) / self._norms()
        return np.concatenate([-distances, distances], axis=1) if len(self.labels) == 2 else distances

    def penultimate(self, outputs: Float32) -> Float32 | None:  # noqa: ARG002 - the embedding is what it sees
        """Returns None: the head is linear."""
        return None

    def posterior(self, sampling: Sampling, evidence: Callable[[], Evidence]) -> Posterior:  # noqa: ARG002
        """Raises TypeError: it has no posterior, as its abilities say."""
        raise TypeError("an SVM head has no posterior samples")

    def _norms(self) -> Float64:
        """Returns ‖w‖ of each output, (J,); 1 for a hyperplane that is none, when all embeddings are zero."""
        norms: Float64 = np.linalg.norm(self.weights.astype(np.float64), axis=1)
        return np.where(norms > 0, norms, 1.0)


class SvmFitter:
    """Fits SVM heads: squared hinge, L2 penalty on weights and intercept, one class against the rest.

    C is that of embeddings x / √mean_squared_norm. Nothing is random; each fit starts anew.

    Args:
        settings: C and class weights.
    """

    def __init__(self, settings: SvmSettings) -> None:
        self._settings = settings

    @property
    def settings(self) -> SvmSettings:
        """How heads are fit."""
        return self._settings

    def fit(
        self,
        features: Float32,
        classes: npt.NDArray[np.integer[Any]],
        labels: Sequence[str],
        mean_squared_norm: float,
        start: Head | None = None,  # noqa: ARG002 - LinearSVC starts anew
    ) -> SvmHead:
        """Fits a head on labeled embeddings; see `Fitter.fit`.

        Costs 30 to 100 ms for M = 2,000, D = 384 and two classes on one core, as much again for each further class.
        """
        names, targets = seen_classes(classes, labels)
        scale = 1.0 / np.sqrt(mean_squared_norm)
        machine = LinearSVC(
            C=self._settings.inverse_regularization,
            class_weight="balanced" if self._settings.balanced else None,
            dual=False,
            tol=_TOLERANCE,
            max_iter=_MAX_STEPS,
            random_state=0,
        )
        machine.fit(features[:, :-1].astype(np.float64) * scale, targets)
        return SvmHead(names, (machine.coef_ * scale).astype(np.float32), machine.intercept_.astype(np.float32))
