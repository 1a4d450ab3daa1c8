"""Pools in an object store, stood for by a folder that is only used as one: by Lance's and Arrow's own file code."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.pools import PoolExists, PoolNotFound, PoolStore, StoreUnavailable
from services.pools import remote as remote_module
from services.pools import store as store_module
from services.pools.compaction import BUSY
from services.pools.local import LocalPlace
from services.pools.remote import RemotePlace
from tests.pools.examples import add, check, definition, item, items


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address that is not treated as a folder."""
    (tmp_path / "bucket").mkdir()
    monkeypatch.setattr(store_module, "_place", lambda uri: RemotePlace(f"{uri}/pools"))
    # Other processes' doings are noticed at once.
    monkeypatch.setattr(remote_module, "CHECK_SECONDS", -1.0)
    return f"file://{tmp_path}/bucket"


@pytest.fixture
def remote(uri: str) -> Iterator[PoolStore]:
    """A store there."""
    store = PoolStore(uri)
    yield store
    store.close()


def test_a_pool_in_an_object_store_is_as_any_other(remote: PoolStore, uri: str) -> None:
    assert remote.names() == []
    made = definition()
    pool = remote.create(made)
    remote.create(definition("another"))
    add(pool, items(0, 3))
    with pytest.raises(PoolExists):
        remote.create(definition())
    other = PoolStore(uri)
    assert other.names() == ["another", "reviews"]
    assert other.open("reviews").definition == made
    seen = other.open("reviews").snapshot()
    assert check(seen) == items(0, 3)
    add(pool, items(2, 6))
    assert check(other.open("reviews").snapshot()) == items(0, 6)
    assert check(seen) == items(0, 3)
    other.close()


def test_many_commits_to_an_object_store_are_compacted(remote: PoolStore, uri: str) -> None:
    pool = remote.create(definition())
    for number in range(BUSY[0] + 1):
        add(pool, [item(number)])
    remote.close()
    assert len(pool._embeddings.fragments()) < 3
    assert check(PoolStore(uri).open("reviews").snapshot()) == items(0, BUSY[0] + 1)


def test_deletion_and_recreation_in_an_object_store_are_noticed(remote: PoolStore, uri: str) -> None:
    pool = remote.create(definition())
    add(pool, items(0, 3))
    other = PoolStore(uri)
    assert len(other.open("reviews").snapshot()) == 3
    assert remote.delete("reviews")
    assert not remote.delete("reviews")
    assert remote.names() == []
    with pytest.raises(PoolNotFound):
        pool.stats()
    with pytest.raises(PoolNotFound):
        other.open("reviews")
    add(remote.create(definition()), items(7, 9))
    assert check(other.open("reviews").snapshot()) == items(7, 9)
    other.close()


def test_a_create_that_was_interrupted_in_an_object_store_leaves_the_name_free(
    remote: PoolStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_table = store_module.create_table

    def only_embeddings(uri: str, schema: object) -> None:
        if uri.endswith("items.lance"):
            raise KeyboardInterrupt
        create_table(uri, schema)

    with monkeypatch.context() as patched:
        patched.setattr(store_module, "create_table", only_embeddings)
        with pytest.raises(KeyboardInterrupt):
            remote.create(definition())
    assert remote.names() == []
    with pytest.raises(PoolNotFound):
        remote.open("reviews")
    add(remote.create(definition()), items(0, 3))
    assert check(remote.open("reviews").snapshot()) == items(0, 3)


def test_a_delete_that_was_interrupted_in_an_object_store_shows_all_or_nothing(
    remote: PoolStore, uri: str, tmp_path: Path
) -> None:
    pool = remote.create(definition())
    add(pool, items(0, 3))
    add(pool, items(3, 6))
    versions = sorted((tmp_path / "bucket/pools/reviews/items.lance/_versions").glob("*.manifest"))
    # They are removed oldest first, and the names count down.
    for oldest in reversed(versions[1:]):
        oldest.unlink()
        assert check(PoolStore(uri).open("reviews").snapshot()) == items(0, 6)
    versions[0].unlink()
    assert PoolStore(uri).names() == []
    with pytest.raises(PoolNotFound):
        PoolStore(uri).open("reviews")
    assert not remote.delete("reviews")
    assert list((tmp_path / "bucket/pools").iterdir()) == []


def test_what_cannot_be_read_in_an_object_store_is_left_to_people(remote: PoolStore, uri: str, tmp_path: Path) -> None:
    add(remote.create(definition()), items(0, 3))
    newest = min((tmp_path / "bucket/pools/reviews/items.lance/_versions").glob("*.manifest"))
    newest.write_bytes(b"torn")
    with pytest.raises(StoreUnavailable):
        PoolStore(uri).open("reviews")
    assert newest.read_bytes() == b"torn"


def test_an_address_says_what_place_is_meant(tmp_path: Path) -> None:
    assert isinstance(store_module._place(str(tmp_path)), LocalPlace)
    assert isinstance(store_module._place(f"file://{tmp_path}"), LocalPlace)
    assert (tmp_path / "pools").is_dir()
    with pytest.raises(ValueError):
        store_module._place("nothing://like/this")
