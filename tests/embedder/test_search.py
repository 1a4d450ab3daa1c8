"""SearchItems and GetItems: exact neighbours, by brute force and over gRPC."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prepal.tensors import pack
from prepal.v1 import embedder_pb2 as pb

from services.embedder.search.exact import nearest_of_all
from services.embedder.search.indexes import Indexes
from services.pools import Item, Pool, PoolDefinition, PoolStore
from tests.embedder.serving import PATIENCE, Embedder, refused, texts

asynchronous = pytest.mark.asyncio(loop_scope="module")


def pool_of(store: PoolStore, vectors: npt.NDArray[np.float16]) -> Pool:
    definition = PoolDefinition(
        name=f"p{uuid.uuid4().hex}",
        backbone=None,
        fingerprint="own",
        dimension=vectors.shape[1],
        created_at=datetime.now(UTC),
        incarnation=uuid.uuid4().hex,
    )
    pool = store.create(definition)
    grow(pool, vectors)
    return pool


def grow(pool: Pool, vectors: npt.NDArray[np.float16]) -> None:
    start = pool.stats().items
    pool.append([Item(f"i{start + row}", "text") for row in range(len(vectors))], vectors)


def brute(vectors: npt.NDArray[np.float16], query: npt.NDArray[np.floating], k: int) -> list[tuple[int, float]]:
    """Cosines one by one in plain Python, ties by row."""
    q = [float(value) for value in query]
    scored = []
    for row, vector in enumerate(vectors):
        v = [float(value) for value in vector]
        lengths = (sum(a * a for a in v) * sum(a * a for a in q)) ** 0.5
        product = sum(a * b for a, b in zip(v, q, strict=True))
        scored.append((-float(np.float32(product / lengths)) if lengths else 0.0, row))
    return [(row, -score) for score, row in sorted(scored)[:k]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PoolStore:
    return PoolStore(str(tmp_path_factory.mktemp("pools")))


SMALL = st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=30)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SMALL, st.lists(st.integers(-2, 2), min_size=3, max_size=3), st.integers(1, 40))
def test_the_nearest_are_those_of_brute_force_and_ties_are_in_order_of_adding(
    store: PoolStore, rows: list[list[int]], query: list[int], k: int
) -> None:
    # Small whole numbers make many ties, zero rows among them.
    vectors = np.array(rows, np.float16)
    similarities, found = Indexes(1 << 30).search(pool_of(store, vectors).snapshot(), np.array(query, np.float32), k)
    expected = brute(vectors, np.array(query), k)
    assert found.tolist() == [row for row, _ in expected]
    np.testing.assert_allclose(similarities, [score for _, score in expected], atol=1e-7)


def test_thousands_of_nearly_equal_vectors_are_still_ranked_exactly(store: PoolStore) -> None:
    rng = np.random.default_rng(0)
    vectors = (np.ones(16) + rng.standard_normal((12_000, 16)) * 1e-3).astype(np.float16)
    snapshot = pool_of(store, vectors).snapshot()
    similarities, rows = Indexes(1 << 30).search(snapshot, np.ones(16, np.float32), 20)
    unit = np.ones(16) / 4
    wide = vectors.astype(np.float64)
    exact = (wide @ unit) / np.linalg.norm(wide, axis=1)
    np.testing.assert_allclose(similarities, np.sort(exact)[::-1][:20], atol=1e-7)
    assert nearest_of_all(snapshot.blocks(), unit, 20)[1].tolist() == rows.tolist()


def test_equal_vectors_are_ties_whatever_their_row(store: PoolStore) -> None:
    rng = np.random.default_rng(1)
    one = rng.standard_normal((1, 24)).astype(np.float16)
    other = rng.standard_normal((500, 24)).astype(np.float16)
    vectors = np.concatenate([other[:250], np.repeat(one, 40, axis=0), other[250:], np.repeat(one, 60, axis=0)])
    similarities, rows = Indexes(1 << 30).search(pool_of(store, vectors).snapshot(), one[0], 90)
    assert rows.tolist() == [*range(250, 290), *range(540, 590)]
    assert set(similarities.tolist()) == {similarities[0]}


def test_an_index_follows_its_pool_and_serves_snapshots_of_before(store: PoolStore) -> None:
    indexes = Indexes(1 << 30)
    pool = pool_of(store, np.eye(4, dtype=np.float16))
    before = pool.snapshot()
    query = np.array([1, 1, 1, 1], np.float32)
    assert len(indexes.search(before, query, 9)[1]) == 4
    grow(pool, np.ones((3, 4), np.float16))
    assert indexes.search(pool.snapshot(), query, 4)[1].tolist() == [4, 5, 6, 0]
    assert indexes.search(before, query, 2)[1].tolist() == [0, 1]


def test_the_indexes_used_longest_ago_are_let_go(store: PoolStore) -> None:
    indexes = Indexes(most_bytes=100)
    pools = [pool_of(store, np.eye(4, dtype=np.float16)) for _ in range(5)]
    for pool in [*pools, pools[0]]:
        assert indexes.search(pool.snapshot(), np.array([0, 0, 1, 0], np.float32), 1)[1].tolist() == [2]
    assert len(indexes._indexes) == 3


def test_numbers_near_the_ends_of_float32_do_not_overflow(store: PoolStore) -> None:
    pool = pool_of(store, np.array([[1, 0], [60000, 60000], [6e-8, 0]], np.float16))
    for size in (1e38, 1e-38):
        similarities, rows = Indexes(1 << 30).search(pool.snapshot(), np.array([size, 0], np.float32), 3)
        assert rows.tolist() == [0, 2, 1]
        np.testing.assert_allclose(similarities, [1, 1, 0.5**0.5], atol=1e-7)


def own(*vectors: Sequence[float]) -> list[pb.Item]:
    return [
        pb.Item(item_id=f"i{row}", text=f"text {row}", embedding=pack(np.array(vector, np.float32)))
        for row, vector in enumerate(vectors)
    ]


def query(pool: str, **fields: Any) -> pb.SearchItemsRequest:
    return pb.SearchItemsRequest(pool=pool, **fields)


@asynchronous
async def test_an_item_finds_its_neighbours_and_not_itself(embedder: Embedder) -> None:
    await embedder.create("near", dimension=2)
    await embedder.add("near", own([1, 0], [1, 1], [0, 1], [1, 0], [-1, 0]))
    found = await embedder.stub.SearchItems(query("near", item_id="i0", k=3), timeout=PATIENCE)
    assert [one.item.item_id for one in found.items] == ["i3", "i1", "i2"]
    np.testing.assert_allclose([one.similarity for one in found.items], [1, 0.5**0.5, 0], atol=1e-6)
    assert found.items[0].item.text == "text 3"
    assert not found.items[0].item.HasField("embedding")
    assert found.pool_version > 0
    every = await embedder.stub.SearchItems(query("near", item_id="i0"), timeout=PATIENCE)
    assert [one.item.item_id for one in every.items] == ["i3", "i1", "i2", "i4"]


@asynchronous
async def test_a_text_finds_itself_first_and_new_items_are_found_at_once(embedder: Embedder, tiny: pb.Backbone) -> None:
    await embedder.create("said", backbone=tiny)
    await embedder.add("said", texts("a fine film", "dull plot"))
    text = pb.TextInput(text="the film was good")
    first = await embedder.stub.SearchItems(query("said", text=text, k=1), timeout=PATIENCE)
    assert first.items[0].similarity < 0.9999
    await embedder.add("said", texts("the film was good", start=2))
    then = await embedder.stub.SearchItems(query("said", text=text, k=1), timeout=PATIENCE)
    assert then.items[0].item.item_id == "i2"
    assert then.items[0].similarity == pytest.approx(1, abs=1e-4)
    assert then.pool_version > first.pool_version


@asynchronous
async def test_an_empty_pool_has_no_neighbours(embedder: Embedder) -> None:
    await embedder.create("void", dimension=2)
    vector = pack(np.array([1, 0], np.float32))
    found = await embedder.stub.SearchItems(query("void", vector=vector), timeout=PATIENCE)
    assert list(found.items) == []


@asynchronous
async def test_a_deleted_pools_vectors_are_not_found_in_the_next_of_its_name(embedder: Embedder) -> None:
    vector = pack(np.array([1, 0], np.float32))
    for similarity, row in ((1, [1, 0]), (0, [0, 1])):
        await embedder.create("reborn", dimension=2)
        await embedder.add("reborn", own(row))
        found = await embedder.stub.SearchItems(query("reborn", vector=vector), timeout=PATIENCE)
        assert [one.similarity for one in found.items] == [similarity]
        await embedder.stub.DeletePool(pb.DeletePoolRequest(name="reborn"), timeout=PATIENCE)


@asynchronous
@pytest.mark.parametrize(
    ("fields", "code", "reason", "part"),
    [
        ({"item_id": "nobody"}, "NOT_FOUND", "ITEM_NOT_FOUND", "'nobody'"),
        ({"item_id": ""}, "INVALID_ARGUMENT", "INVALID_FIELD", "item_id must not be empty"),
        ({}, "INVALID_ARGUMENT", "INVALID_FIELD", "query must be given"),
        ({"item_id": "i0", "k": 1001}, "INVALID_ARGUMENT", "INVALID_FIELD", "between 0 and 1000, got 1001"),
        ({"text": pb.TextInput(text="x")}, "FAILED_PRECONDITION", "POOL_HAS_NO_BACKBONE", "by item_id or by vector"),
        ({"vector": pack(np.ones(3, np.float32))}, "INVALID_ARGUMENT", "INVALID_FIELD", "shape (2,)"),
        ({"vector": pack(np.zeros(2, np.float32))}, "INVALID_ARGUMENT", "INVALID_FIELD", "all zero"),
        ({"vector": pack(np.array([1, np.nan], np.float32))}, "INVALID_ARGUMENT", "INVALID_FIELD", "finite"),
        ({"pool": "nowhere", "item_id": "a"}, "NOT_FOUND", "POOL_NOT_FOUND", "'nowhere'"),
    ],
)
async def test_a_wrong_query_is_refused(
    embedder: Embedder, fields: dict[str, Any], code: str, reason: str, part: str
) -> None:
    await embedder.create("asked", dimension=2)
    await embedder.add("asked", own([1, 0]))
    request = query(**{"pool": "asked", **fields})
    refusal = await refused(embedder.stub.SearchItems(request, timeout=PATIENCE))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode[code], reason)
    assert part in refusal.message


@asynchronous
async def test_items_come_in_the_order_asked_and_missing_ids_are_named(embedder: Embedder, tiny: pb.Backbone) -> None:
    await embedder.create("got", backbone=tiny)
    items = [pb.Item(item_id=name, text=f"text {name}", metadata='{"a": 1}') for name in ("x", "y", "z")]
    await embedder.add("got", items)
    asked = ["z", "nobody", "x", "z", "neither"]
    found = await embedder.stub.GetItems(pb.GetItemsRequest(pool="got", item_ids=asked), timeout=PATIENCE)
    assert list(found.items) == [items[2], items[0], items[2]]
    assert list(found.missing_ids) == ["nobody", "neither"]


@asynchronous
async def test_too_many_ids_and_too_large_an_answer_are_refused(embedder: Embedder, tiny: pb.Backbone) -> None:
    await embedder.create("much", backbone=tiny)
    await embedder.add("much", texts(*("x" * 99_000 for _ in range(10))))
    for ids, field, reason in (
        ([], ["item_ids"], "INVALID_FIELD"),
        (["a"] * 10_001, ["item_ids"], "INVALID_FIELD"),
        ([f"i{row % 10}" for row in range(700)], [], "ANSWER_TOO_LARGE"),
    ):
        refusal = await refused(embedder.stub.GetItems(pb.GetItemsRequest(pool="much", item_ids=ids), timeout=PATIENCE))
        assert (refusal.code, refusal.fields, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, field, reason)
