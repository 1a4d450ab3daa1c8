"""What a view computes of a pool, against numpy and against computing it anew."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from services.selector.acquisition import DEFAULTS, REGISTRY, Representation, ScoreFunction, parameters_from
from services.selector.acquisition.max_entropy import max_entropy
from services.selector.heads import LogisticHead, McDropoutSettings, Projection, fitter_for
from services.selector.scoring import Products, Shelf
from services.selector.scoring.products import CHUNK_ROWS, SPAN_ROWS
from tests.selector.acquisition.views import BLOCK_ROWS, Matrix, clustered, view_of

SCORES = [function for function in REGISTRY.values() if isinstance(function, ScoreFunction)]
ENTROPY = next(function for function in SCORES if function.name == "MAX_ENTROPY")


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


def test_products_may_begin_anywhere_and_read_float32_too(products: Products) -> None:
    pool = Matrix(embeddings(SPAN_ROWS + 2_000, 6))
    projection = Projection(np.ones((6, 1), np.float32), np.zeros(1, np.float32))
    expected = pool.embeddings.astype(np.float64).sum(axis=1)
    for start in (0, CHUNK_ROWS, 5 * CHUNK_ROWS, SPAN_ROWS + CHUNK_ROWS):
        for blocks in (pool.blocks(), [pool.embeddings.astype(np.float32)]):
            found = np.full(len(pool), np.nan)

            def keep(first: int, outputs: npt.NDArray[np.float32], found: npt.NDArray[np.float64] = found) -> None:
                found[first : first + len(outputs)] = outputs[:, 0]

            products.each_span(blocks, start, projection, keep)
            np.testing.assert_allclose(found[start:], expected[start:], atol=1e-5)
            assert np.isnan(found[:start]).all()


def test_squared_norms_follow_a_growing_pool() -> None:
    whole, shelf = embeddings(SPAN_ROWS + 3_000, 6), Shelf(1 << 30)
    for rows in (1, 5_000, SPAN_ROWS + 3_000):
        found = view_of(whole[:rows], shelf=shelf).embeddings.squared_norms()
        np.testing.assert_allclose(found, np.sum(whole[:rows].astype(np.float64) ** 2, axis=1), rtol=1e-5)


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_probabilities_and_scores_are_those_of_numpy(classes: int) -> None:
    pool, model = embeddings(20_000, 12), head(12, classes)
    outputs = (pool.astype(np.float32) @ model.weights.T + model.offsets).astype(np.float32)
    view = view_of(pool, head=model)
    np.testing.assert_allclose(view.probabilities(), model.probabilities(outputs), atol=1e-6)
    np.testing.assert_allclose(view.scores(ENTROPY, DEFAULTS), max_entropy(model.probabilities(outputs)), atol=1e-6)


@pytest.mark.parametrize("classes", [2, 5])
def test_a_pool_that_grew_has_the_scores_of_one_that_was_always_so_large(classes: int) -> None:
    whole, model, shelf = embeddings(BLOCK_ROWS + 3_000, 4), head(4, classes), Shelf(1 << 30)
    for rows in (1, 700, CHUNK_ROWS + 5, 9_000, BLOCK_ROWS + 3_000):
        grown, anew = view_of(whole[:rows], head=model, shelf=shelf), view_of(whole[:rows], head=model)
        # Bit for bit: a pick must not depend on when a replica read the pool.
        np.testing.assert_array_equal(grown.scores(ENTROPY, DEFAULTS), anew.scores(ENTROPY, DEFAULTS))
        np.testing.assert_array_equal(grown.probabilities(), anew.probabilities())
    again = view_of(whole[:700], head=model, shelf=shelf).scores(ENTROPY, DEFAULTS)
    np.testing.assert_array_equal(again, anew.scores(ENTROPY, DEFAULTS)[:700])


def test_scores_are_kept_until_the_head_changes() -> None:
    pool, shelf = embeddings(3_000, 6), Shelf(1 << 30)
    first = view_of(pool, head=head(6, 2), shelf=shelf).scores(ENTROPY, DEFAULTS)
    assert view_of(pool, head=head(6, 2), shelf=shelf).scores(ENTROPY, DEFAULTS) is first
    second = view_of(pool, head=head(6, 2, seed=9), head_version=2, shelf=shelf).scores(ENTROPY, DEFAULTS)
    assert (first != second).any()
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1.0


def test_a_function_with_other_parameters_has_other_scores() -> None:
    pool, numbers = clustered(500, 8, 3)
    view = view_of(pool, head=head(8, 3), labeled=np.arange(20), classes=numbers[:20])
    for function in SCORES:
        if "neighbours" in function.uses:
            few, many = (view.scores(function, parameters_from({"neighbours": count})) for count in (1, 15))
            assert (few != many).any(), function.name


def test_an_empty_pool_has_no_scores() -> None:
    view = view_of(embeddings(0, 6), head=head(6, 2))
    assert view.scores(ENTROPY, DEFAULTS).shape == (0,)
    assert view.probabilities().shape == (0, 2)


def test_the_penultimate_activations_are_what_the_last_layer_sees_and_follow_a_growing_pool() -> None:
    pool, numbers = clustered(BLOCK_ROWS + 2_000, 8, 2)
    features = np.concatenate([pool[:50].astype(np.float32), np.ones((50, 1), np.float32)], axis=1)
    model = fitter_for(McDropoutSettings(hidden=(16,))).fit(features, numbers[:50], ["a", "b"], 1.0, None)
    parameters, shelf = parameters_from({"representation": Representation.PENULTIMATE}), Shelf(1 << 30)
    for rows in (3_000, BLOCK_ROWS + 2_000):
        found = view_of(pool[:rows], head=model, shelf=shelf).representation(parameters)
        outputs = pool[:rows].astype(np.float32) @ model.projection.weights + model.projection.offsets
        expected = model.penultimate(outputs.astype(np.float32))
        assert expected is not None
        assert (len(found), found.dimension) == expected.shape == (rows, 16)
        chosen = np.array([0, rows - 1, 17, min(rows - 1, BLOCK_ROWS)])
        np.testing.assert_allclose(found.gather(chosen), expected[chosen], atol=1e-4)
        np.testing.assert_allclose(found.squared_norms(), np.sum(expected**2, axis=1), rtol=1e-3, atol=1e-4)
    linear = view_of(pool[:3_000], head=head(8, 2)).representation(parameters)
    assert linear.dimension == 8, "a linear head's last layer sees the embeddings"


def test_what_is_kept_of_an_item_is_small() -> None:
    pool, shelf = embeddings(10_000, 6), Shelf(1 << 30)
    view_of(pool, head=head(6, 2), shelf=shelf).scores(ENTROPY, DEFAULTS)
    assert shelf.bytes <= 8 * 10_000
