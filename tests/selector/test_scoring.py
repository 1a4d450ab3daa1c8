"""Products and kept scores against numpy, and against computing them anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from services.selector.acquisition import REGISTRY, OfProbabilities
from services.selector.heads import LogisticHead, Projection
from services.selector.scoring import PoolScores, Products
from services.selector.scoring.products import CHUNK_ROWS, SPAN_ROWS
from services.selector.scoring.scores import KEPT_CLASSES

BLOCK_ROWS = 65_536
ENTROPY = REGISTRY["MAX_ENTROPY"]
MARGIN = REGISTRY["MARGIN"]


class Matrix:
    """A snapshot of embeddings in memory."""

    def __init__(self, embeddings: npt.NDArray[np.float16], incarnation: str = "one") -> None:
        self.embeddings, self.incarnation, self.version = embeddings, incarnation, len(embeddings)
        self.dimension = embeddings.shape[1]
        self.read = 0

    def __len__(self) -> int:
        return len(self.embeddings)

    def blocks(self) -> Sequence[npt.NDArray[np.float16]]:
        self.read += 1
        blocks = [self.embeddings[start : start + BLOCK_ROWS] for start in range(0, len(self), BLOCK_ROWS)]
        for block in blocks:
            block.flags.writeable = False
        return blocks


@pytest.fixture(scope="module")
def products() -> Iterator[Products]:
    made = Products(2)
    yield made
    made.close()


def head(dimension: int, classes: int, seed: int = 0) -> LogisticHead:
    generator = np.random.default_rng(seed)
    columns = 1 if classes == 2 else classes
    labels = tuple(f"label {number}" for number in range(classes))
    weights = generator.standard_normal((columns, dimension)) / np.sqrt(dimension)
    return LogisticHead(labels, weights.astype(np.float32), generator.standard_normal(columns).astype(np.float32))


def embeddings(rows: int, dimension: int, seed: int = 0) -> npt.NDArray[np.float16]:
    return np.random.default_rng(seed).standard_normal((rows, dimension), dtype=np.float32).astype(np.float16)


@pytest.mark.parametrize("rows", [0, 1, CHUNK_ROWS, CHUNK_ROWS + 1, SPAN_ROWS + 7, BLOCK_ROWS + SPAN_ROWS + 3])
@pytest.mark.parametrize("columns", [1, 3])
def test_products_are_those_of_numpy(products: Products, rows: int, columns: int) -> None:
    pool = Matrix(embeddings(rows, 8))
    generator = np.random.default_rng(1)
    projection = Projection(
        generator.standard_normal((8, columns)).astype(np.float32),
        generator.standard_normal(columns).astype(np.float32),
    )
    expected = pool.embeddings.astype(np.float64) @ projection.weights + projection.offsets
    found = np.full((rows, columns), np.nan)

    def keep(first: int, outputs: npt.NDArray[np.float32]) -> None:
        found[first : first + len(outputs)] = outputs

    products.each_span(pool.blocks(), 0, projection, keep)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(products.project(pool.embeddings, projection), expected, atol=1e-5)
    np.testing.assert_allclose(products.project(pool.embeddings.astype(np.float32), projection), expected, atol=1e-5)


def test_the_sum_of_squares_may_begin_anywhere(products: Products) -> None:
    pool = Matrix(embeddings(SPAN_ROWS + 2_000, 6))
    for start in (0, 1, 5_000, SPAN_ROWS + 1_999, SPAN_ROWS + 2_000):
        expected = float(np.sum(pool.embeddings[start:].astype(np.float64) ** 2))
        assert products.sum_of_squares(pool.blocks(), start) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("classes", [2, 3, KEPT_CLASSES + 1])
@pytest.mark.parametrize("function", [ENTROPY, MARGIN], ids=lambda f: f.name)
def test_scores_are_those_of_all_probabilities_at_once(
    products: Products, classes: int, function: OfProbabilities
) -> None:
    pool, model = Matrix(embeddings(20_000, 12)), head(12, classes)
    outputs = (pool.embeddings.astype(np.float32) @ model.weights.T + model.offsets).astype(np.float32)
    scores = PoolScores(products).scores(pool, model, 1, function)
    np.testing.assert_allclose(scores, function.scores(model.probabilities(outputs)), atol=1e-6)


@pytest.mark.parametrize("classes", [2, KEPT_CLASSES + 1])
def test_a_pool_that_grew_has_the_scores_of_one_that_was_always_so_large(products: Products, classes: int) -> None:
    whole, model = embeddings(BLOCK_ROWS + 3_000, 4), head(4, classes)
    kept = PoolScores(products)
    for rows in (1, 700, CHUNK_ROWS + 5, 9_000, BLOCK_ROWS + 3_000):
        grown = kept.scores(Matrix(whole[:rows]), model, 1, ENTROPY)
        anew = PoolScores(products).scores(Matrix(whole[:rows]), model, 1, ENTROPY)
        # Bit for bit: a pick must not depend on when a replica read the pool.
        np.testing.assert_array_equal(grown, anew)
    again = kept.scores(Matrix(whole[:700]), model, 1, ENTROPY)
    np.testing.assert_array_equal(again, anew[:700])


def test_scores_are_kept_until_the_head_or_the_pool_changes(products: Products) -> None:
    pool, kept = Matrix(embeddings(3_000, 6)), PoolScores(products)
    first = kept.scores(pool, head(6, 2), 1, ENTROPY)
    assert pool.read == 1
    assert kept.scores(pool, head(6, 2), 1, ENTROPY) is not None
    kept.scores(pool, head(6, 2), 1, MARGIN)
    assert pool.read == 1, "a second function works on the probabilities that are kept"
    second = kept.scores(pool, head(6, 2, seed=9), 2, ENTROPY)
    assert pool.read == 2
    assert (first != second).any()
    other = Matrix(embeddings(3_000, 6, seed=3), incarnation="two")
    np.testing.assert_array_equal(
        kept.scores(other, head(6, 2, seed=9), 2, ENTROPY),
        PoolScores(products).scores(other, head(6, 2, seed=9), 2, ENTROPY),
    )


def test_an_empty_pool_has_no_scores(products: Products) -> None:
    assert PoolScores(products).scores(Matrix(embeddings(0, 6)), head(6, 2), 1, ENTROPY).shape == (0,)


def test_what_is_kept_of_an_item_is_small(products: Products) -> None:
    kept = PoolScores(products)
    kept.scores(Matrix(embeddings(10_000, 6)), head(6, 2), 1, ENTROPY)
    assert kept.bytes <= 24 * 10_000
