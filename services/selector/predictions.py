"""Class probabilities in the columns of a project's labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.selector.heads import Head
from services.selector.scoring import Products

Float32 = npt.NDArray[np.float32]


def predict(
    products: Products, head: Head, embeddings: npt.NDArray[np.floating[Any]], labels: Sequence[str]
) -> Float32:
    """Returns probabilities (n, C) of embeddings (n, D); a label the head has never seen has probability 0."""
    seen = head.probabilities(products.project(embeddings, head.projection))
    if head.labels == tuple(labels):
        return seen.astype(np.float32)
    probs = np.zeros((len(seen), len(labels)), np.float32)
    columns = {label: column for column, label in enumerate(labels)}
    probs[:, [columns[label] for label in head.labels]] = seen
    return probs
