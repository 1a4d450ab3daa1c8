"""What a pool gives back of what it was given."""

from pathlib import Path

import numpy as np
import pytest

from services.pools import (
    BackboneDefinition,
    Item,
    PairMode,
    PoolDefinition,
    PoolExists,
    Pooling,
    PoolNotFound,
    PoolStats,
    PoolStore,
    StoreUnavailable,
    text_digest,
)
from tests.pools.examples import DIMENSION, add, check, definition, item, items, vector, vectors

ODD = [
    Item("Größe/…/𝛼", "naïve — 日本語 🎬\nsecond line\ttab", "", '{"a": "ü"}'),
    Item(" ", "\x00 a NUL", "пара"),
    Item("-1", "x" * 100_000, None, ""),
    Item("e" * 256, "e"),
]


def test_items_come_back_as_they_were_given(store: PoolStore) -> None:
    pool = store.create(definition())
    assert pool.append(ODD, vectors(ODD)) == PoolStats(items=4, version=4)
    ids = [one.item_id for one in ODD]
    assert pool.take(ids) == ODD
    assert pool.take([ids[2], "nobody", ids[0], ids[2]]) == [ODD[2], None, ODD[0], ODD[2]]
    assert pool.known([*ids, "nobody"]) == {one.item_id: text_digest(one.text, one.text_pair) for one in ODD}
    np.testing.assert_array_equal(pool.vectors([ids[3], ids[0]]), vectors([ODD[3], ODD[0]]))
    assert check(pool.snapshot()) == ODD


def test_a_pool_comes_back_when_the_store_is_opened_again(store: PoolStore, tmp_path: Path) -> None:
    backbone = BackboneDefinition(
        model="minilm", pooling=Pooling.LAST_TOKEN, max_length=256, normalize=True, pair_mode=PairMode.FULL
    )
    own = definition("own")
    embedded = PoolDefinition(
        name="nli",
        backbone=backbone,
        fingerprint="abc.1-2_3",
        dimension=DIMENSION,
        created_at=own.created_at,
        incarnation="i",
    )
    add(store.create(own), items(0, 3))
    store.create(embedded)
    store.close()
    again = PoolStore(str(tmp_path))
    assert again.names() == ["nli", "own"]
    assert again.open("nli").definition == embedded
    assert again.open("own").definition == own
    assert check(again.open("own").snapshot()) == items(0, 3)
    again.close()


def test_the_digest_tells_texts_and_pairs_apart() -> None:
    digests = {text_digest(*texts) for texts in [("ab", None), ("ab", ""), ("a", "b"), ("", "ab"), ("b", "a")]}
    assert len(digests) == 5
    assert {len(digest) for digest in digests} == {16}


def test_an_empty_pool_answers_everything(store: PoolStore) -> None:
    pool = store.create(definition())
    assert pool.stats() == PoolStats(items=0, version=0)
    assert pool.known(["a"]) == {}
    assert pool.known([]) == {}
    assert pool.take(["a"]) == [None]
    assert pool.vectors([]).shape == (0, DIMENSION)
    snapshot = pool.snapshot()
    assert (len(snapshot), snapshot.version, list(snapshot.blocks())) == (0, 0, [])
    assert snapshot.gather([]).shape == (0, DIMENSION)
    assert snapshot.ids_of([]) == []
    assert snapshot.items_of([]) == []
    np.testing.assert_array_equal(snapshot.rows_of(["a"]), [-1])


def test_appending_no_items_changes_nothing(store: PoolStore) -> None:
    pool = store.create(definition())
    assert pool.append([], np.empty((0, DIMENSION), np.float16)) == PoolStats(items=0, version=0)


def test_the_first_text_of_an_id_stays(store: PoolStore) -> None:
    pool = store.create(definition())
    twice = [item(1), item(2), item(1, "again")]
    assert pool.append(twice, vectors(twice)).items == 2
    stats = pool.append(changed := [item(2, "changed"), item(3)], vectors(changed))
    assert stats == PoolStats(items=3, version=3)
    assert check(pool.snapshot()) == [item(1), item(2), item(3)]


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (
            np.zeros((2, DIMENSION), np.float32),
            "embeddings must be float16 of shape (2, 8), got float32 of shape (2, 8)",
        ),
        (np.zeros((2, 7), np.float16), "embeddings must be float16 of shape (2, 8), got float16 of shape (2, 7)"),
        (
            np.zeros((1, DIMENSION), np.float16),
            "embeddings must be float16 of shape (2, 8), got float16 of shape (1, 8)",
        ),
        (np.array([[0] * 8, [0] * 7 + [np.nan]], np.float16), "got a NaN or an infinity for 'item-0000002'"),
        (np.array([[-np.inf] * 8, [0] * 8], np.float16), "got a NaN or an infinity for 'item-0000001'"),
    ],
)
def test_embeddings_of_another_form_are_refused(store: PoolStore, embeddings: np.ndarray, message: str) -> None:
    pool = store.create(definition())
    with pytest.raises(ValueError) as refused:
        pool.append([item(1), item(2)], embeddings)
    assert message in str(refused.value)
    assert pool.stats().items == 0


@pytest.mark.parametrize(
    "refused",
    [
        Item("", "text"),
        Item("a", "\ud800"),
        Item("a", "b", "\udfff"),
        Item("\ud800", "b"),
        Item("a", "b", None, "\ud800"),
    ],
)
def test_what_is_no_text_is_refused_and_the_rest_goes_on(store: PoolStore, refused: Item) -> None:
    pool = store.create(definition())
    with pytest.raises(ValueError):
        pool.append([refused], np.zeros((1, DIMENSION), np.float16))
    add(pool, items(0, 2))
    assert check(pool.snapshot()) == items(0, 2)


def test_embeddings_in_any_layout_are_taken(store: PoolStore) -> None:
    pool = store.create(definition())
    wide = np.repeat(vectors(items(0, 3)), 2, axis=1)
    pool.append(items(0, 3), wide[:, ::2])
    assert check(pool.snapshot()) == items(0, 3)


def test_the_greatest_and_smallest_finite_values_are_taken(store: PoolStore) -> None:
    pool = store.create(definition())
    extreme = np.array([[65504, -65504, 6e-8, -6e-8, 0, -0.0, 1, -1]], np.float16)
    pool.append([item(0)], extreme)
    np.testing.assert_array_equal(pool.snapshot().gather([0]), extreme)


def test_vectors_of_an_unknown_id_are_a_key_error(store: PoolStore) -> None:
    pool = store.create(definition())
    add(pool, items(0, 2))
    with pytest.raises(KeyError, match="nobody"):
        pool.vectors(["item-0000001", "nobody"])


def test_vectors_are_read_without_loading_the_pool_and_the_same_with_it(store: PoolStore) -> None:
    pool = store.create(definition())
    add(pool, items(0, 100))
    ids = ["item-0000099", "item-0000000", "item-0000099"]
    before = pool.vectors(ids)
    pool.snapshot()
    np.testing.assert_array_equal(before, pool.vectors(ids))
    np.testing.assert_array_equal(before[0], vector("a fine film 99"))


def test_a_snapshot_stays_as_it_was_while_the_pool_grows(store: PoolStore) -> None:
    pool = store.create(definition())
    add(pool, items(0, 10))
    small = pool.snapshot()
    block = small.blocks()[0]
    add(pool, items(10, 30))
    large = pool.snapshot()
    assert check(small) == items(0, 10)
    assert check(large) == items(0, 30)
    assert (small.version, large.version) == (10, 30)
    np.testing.assert_array_equal(small.rows_of(["item-0000009", "item-0000010"]), [9, -1])
    assert np.shares_memory(block, large.blocks()[0])


def test_a_snapshot_is_the_same_object_until_something_changes(store: PoolStore) -> None:
    pool = store.create(definition())
    add(pool, items(0, 3))
    assert pool.snapshot() is pool.snapshot()


def test_a_snapshots_embeddings_cannot_be_written(store: PoolStore) -> None:
    pool = store.create(definition())
    add(pool, items(0, 3))
    with pytest.raises(ValueError, match="read-only"):
        pool.snapshot().blocks()[0][0, 0] = 1


@pytest.mark.parametrize("rows", [[3], [-1], [0, 7]])
def test_rows_that_are_not_there_are_refused(store: PoolStore, rows: list[int]) -> None:
    pool = store.create(definition())
    add(pool, items(0, 3))
    snapshot = pool.snapshot()
    for ask in (snapshot.gather, snapshot.ids_of, snapshot.items_of):
        with pytest.raises(IndexError, match="rows must be between 0 and 2"):
            ask(rows)


def test_a_pool_larger_than_a_block_is_whole(store: PoolStore) -> None:
    pool = store.create(definition())
    count = 70_000
    rows = np.arange(count)
    embeddings = (rows[:, None] % 2048).repeat(DIMENSION, axis=1).astype(np.float16)
    pool.append([Item(f"i{row}", "t") for row in rows], embeddings)
    snapshot = pool.snapshot()
    assert [len(block) for block in snapshot.blocks()] == [65_536, 4_464]
    assert all(block.flags.c_contiguous for block in snapshot.blocks())
    np.testing.assert_array_equal(np.concatenate(list(snapshot.blocks())), embeddings)
    asked = np.array([69_999, 0, 65_536, 65_535, 0])
    np.testing.assert_array_equal(snapshot.gather(asked), embeddings[asked])
    assert snapshot.ids_of(asked) == [f"i{row}" for row in asked]
    np.testing.assert_array_equal(snapshot.rows_of([f"i{row}" for row in asked]), asked)


def test_a_pool_is_created_once(store: PoolStore) -> None:
    first = store.create(definition())
    with pytest.raises(PoolExists, match="pool 'reviews' exists already"):
        store.create(definition(dimension=3))
    assert store.open("reviews").definition == first.definition


def test_an_open_pool_is_one_handle(store: PoolStore) -> None:
    pool = store.create(definition())
    assert store.open("reviews") is pool


def test_a_deleted_pool_is_gone(store: PoolStore, tmp_path: Path) -> None:
    pool = store.create(definition())
    add(pool, items(0, 3))
    snapshot = pool.snapshot()
    assert store.delete("reviews")
    assert not store.delete("reviews")
    assert store.names() == []
    assert list((tmp_path / "pools").iterdir()) == []
    with pytest.raises(PoolNotFound):
        store.open("reviews")
    calls = [
        pool.stats,
        pool.snapshot,
        lambda: pool.known(["a"]),
        lambda: pool.take(["a"]),
        lambda: pool.vectors(["a"]),
    ]
    for call in [*calls, lambda: add(pool, items(0, 3)), lambda: snapshot.items_of([0])]:
        with pytest.raises(PoolNotFound, match="pool 'reviews' does not exist"):
            call()
    np.testing.assert_array_equal(snapshot.gather([2]), vectors([item(2)]))
    assert list((tmp_path / "pools").iterdir()) == []


def test_a_pool_created_again_is_another(store: PoolStore) -> None:
    old = store.create(definition())
    add(old, items(0, 3))
    store.delete("reviews")
    new = store.create(definition())
    add(new, items(5, 8))
    assert new.definition.incarnation != old.definition.incarnation
    assert check(store.open("reviews").snapshot()) == items(5, 8)
    with pytest.raises(PoolNotFound):
        old.snapshot()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc", "a\\b\n", ".hidden", "a" * 129, "é", "a b", "a\n"]
)
def test_a_name_that_is_none_is_refused(store: PoolStore, name: str) -> None:
    for call in (lambda: store.open(name), lambda: store.delete(name), lambda: definition(name)):
        with pytest.raises(ValueError, match="name must be 1 to 128 of"):
            call()


def test_a_definition_out_of_range_is_refused() -> None:
    good = definition()
    for dimension in (0, 16_385):
        with pytest.raises(ValueError, match="dimension must be between 1 and 16384"):
            definition(dimension=dimension)
    with pytest.raises(ValueError, match="created_at must have a time zone"):
        PoolDefinition(
            name="a",
            backbone=None,
            fingerprint="f",
            dimension=1,
            created_at=good.created_at.replace(tzinfo=None),
            incarnation="i",
        )


def test_a_place_that_cannot_hold_pools_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for place in (f"{tmp_path}/file", f"{tmp_path}/file/below", "nothing://like/this"):
        with pytest.raises(StoreUnavailable, match=f"pools cannot be kept in '{place}'"):
            PoolStore(place)


def test_folders_that_are_missing_are_made(tmp_path: Path) -> None:
    store = PoolStore(f"{tmp_path}/some/where")
    add(store.create(definition()), items(0, 2))
    store.close()
    assert PoolStore(f"{tmp_path}/some/where").open("reviews").stats().items == 2


def test_a_closed_store_takes_nothing_more(store: PoolStore) -> None:
    pool = store.create(definition())
    add(pool, items(0, 3))
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        add(pool, items(3, 4))
    with pytest.raises(StoreUnavailable, match="closed"):
        store.open("reviews")
