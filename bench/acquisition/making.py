"""Makes what all libraries are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.acquisition.drawn import logarithms
from bench.acquisition.inputs import Inputs, Rows
from bench.acquisition.pool import HeadKind, Pool, running_products
from bench.loop.stand import structured
from services.selector.acquisition import DEFAULTS
from services.selector.scoring import Shelf

_DIMENSION, _CLASSES, _LABELED = 384, 4, 100
_PART_ROWS = 65_536


def clustered(folder: Path, rows: int, seed: int) -> None:
    """Writes random unit embeddings that overlap as classes do, 100 random labels, and a LOGISTIC head fit on them."""
    embeddings, classes = structured(rows, _DIMENSION, _CLASSES, seed)
    inputs = Inputs(folder, HeadKind.LOGISTIC)
    inputs.write(embeddings=embeddings, classes=classes, labeled=_labeled(rows, seed))
    with running_products() as products:
        projection = Pool(inputs, products).head.projection
    inputs.write(weights=projection.weights.T, offsets=projection.offsets)


def dirichlet(folder: Path, rows: int, seed: int) -> None:
    """Writes a pool of independent Dirichlet samples: BATCH_BALD's worst case."""
    inputs = Inputs(folder, HeadKind.DIRICHLET)
    classes = np.random.default_rng(seed).integers(0, _CLASSES, rows)
    embeddings = logarithms(DEFAULTS.samples, rows, _CLASSES, seed)
    inputs.write(embeddings=embeddings, classes=classes, labeled=_labeled(rows, seed))


def add_samples(inputs: Inputs) -> None:
    """Writes the samples of class probabilities that our functions see, for those who cannot draw them."""
    with running_products() as products:
        pool = Pool(inputs, products)
        view = pool.view(Shelf(1 << 30), pool.head, 1, inputs.labeled)
        shape = (DEFAULTS.samples, len(pool.matrix), _CLASSES)
        samples = np.lib.format.open_memmap(inputs.samples_path, "w+", np.float32, shape)
        for start in range(0, shape[1], _PART_ROWS):
            rows = np.arange(start, min(start + _PART_ROWS, shape[1]))
            samples[:, start : start + len(rows)] = view.sampled_probabilities(rows, DEFAULTS)
        samples.flush()


def _labeled(rows: int, seed: int) -> Rows:
    return np.sort(np.random.default_rng([seed, 1]).choice(rows, _LABELED, replace=False))
