"""What fits the heads of a project, whatever their kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from services.selector.heads.head import Float32, Head
from services.selector.heads.logistic import LogisticFitter
from services.selector.heads.mc_dropout_fitter import McDropoutFitter
from services.selector.heads.settings import HeadSettings, LogisticSettings, McDropoutSettings
from services.selector.heads.svm import SvmFitter


class Fitter(Protocol):
    """Fits heads of one project, one after the other, with the same settings.

    What it keeps between fits makes the next one faster and does not enter the result beyond rounding. Not safe to use
    from several threads at once.
    """

    @property
    def settings(self) -> HeadSettings:
        """How heads are fit."""

    def fit(
        self,
        features: Float32,
        classes: npt.NDArray[np.integer[Any]],
        labels: Sequence[str],
        mean_squared_norm: float,
        start: Head | None = None,
    ) -> Head:
        """Fits a head on labeled embeddings.

        Args:
            features: float32, shape (M, D + 1), embeddings and a column of ones.
            classes: shape (M,), numbers into `labels`.
            labels: the project's labels.
            mean_squared_norm: of the pool's embeddings, more than 0: settings mean the same for every backbone.
            start: an earlier head, of any kind and label set, that may make the search shorter.

        Returns:
            The head, of the labels that occur among `classes`, in the order of `labels`.

        Raises:
            ValueError: `classes` holds fewer than two different numbers.
        """


def fitter_for(settings: HeadSettings) -> Fitter:
    """Returns what fits heads with these settings."""
    if isinstance(settings, LogisticSettings):
        return LogisticFitter(settings)
    if isinstance(settings, McDropoutSettings):
        return McDropoutFitter(settings)
    return SvmFitter(settings)
