"""Compaction in the background, and who must not notice it."""

import os
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import lance
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pools import PoolStore, StoreUnavailable
from services.pools import table as table_module
from services.pools.compaction import BUSY, IDLE, STEPS, target_rows
from services.pools.table import Table
from tests.pools.conftest import Start
from tests.pools.examples import add, check, definition, item, items
from tests.pools.test_processes import ask

MOST_FRAGMENTS, _ = BUSY


@given(st.lists(st.integers(1, 300_000), max_size=100), st.sampled_from([BUSY, IDLE]))
def test_a_target_leaves_as_few_fragments_as_wanted(fragments: list[int], limits: tuple[int, int]) -> None:
    most, wanted = limits
    target = target_rows(fragments, most, wanted)
    small = [rows for rows in fragments if rows < STEPS[-1]]
    if target is None:
        return
    below = sum(rows for rows in small if rows < target)
    assert len(small) >= most
    assert sum(rows >= target for rows in small) + -(-below // target) <= wanted


def test_few_or_full_fragments_are_left_alone() -> None:
    assert target_rows([], *BUSY) is None
    assert target_rows([1] * 31, *BUSY) is None
    assert target_rows([1] * 7, *IDLE) is None
    assert target_rows([STEPS[-1]] * 1_000, *BUSY) is None


def test_small_steps_come_first() -> None:
    assert target_rows([1] * 32, *BUSY) == STEPS[0]
    assert target_rows([STEPS[0]] * 32, *BUSY) == STEPS[1]
    assert target_rows([STEPS[1]] * 32, *BUSY) == STEPS[2]
    assert target_rows([STEPS[-1], STEPS[1], 1, 1, 1, 1, 1, 1, 1], *IDLE) == STEPS[0]


@pytest.mark.parametrize("chunk", [1, 500, 2_000, 32_768])
def test_a_row_is_rewritten_a_bounded_number_of_times(chunk: int) -> None:
    fragments: list[int] = []
    written = rewritten = 0
    for _ in range(5_000):
        fragments.append(chunk)
        written += chunk
        if (target := target_rows(fragments, *BUSY)) is not None:
            # What Lance does: neighbours below the target become fragments of that many rows.
            below = [rows for rows in fragments if rows < target]
            rewritten += sum(below)
            whole, rest = divmod(sum(below), target)
            fragments = [rows for rows in fragments if rows >= target] + [target] * whole + [rest] * (rest > 0)
        assert sum(rows < STEPS[-1] for rows in fragments) <= BUSY[0]
    # Single rows are rewritten more often, and are few.
    assert rewritten < (6 if chunk > 1 else 100) * written


def test_many_commits_leave_few_fragments_and_rows_where_they_were(store: PoolStore, tmp_path: Path) -> None:
    pool = store.create(definition())
    add(pool, items(0, 2))
    early = pool.snapshot()
    for number in range(2, 2 + 3 * MOST_FRAGMENTS):
        add(pool, [item(number)])
    expected = items(0, 2 + 3 * MOST_FRAGMENTS)
    store.close()
    for table in (pool._items, pool._embeddings):
        assert len(table.fragments()) < 2 * MOST_FRAGMENTS
        assert max(table.fragments()) > MOST_FRAGMENTS
    other = PoolStore(str(tmp_path)).open("reviews")
    assert check(other.snapshot()) == expected
    assert other.stats() == pool.stats()
    assert pool.stats().version == len(expected)
    assert check(pool.snapshot()) == expected
    assert check(early) == expected[:2]


@pytest.mark.parametrize("moment", ["plan", "sync"])
def test_rows_stay_where_they_were_when_others_are_appended_meanwhile(
    store: PoolStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    pool = store.create(definition())
    for number in range(10):
        add(pool, [item(number)])
    owner, name = {"plan": (table_module.Compaction, "plan"), "sync": (pool._site, "sync")}[moment]
    original = getattr(owner, name)
    ready = iter(range(10, 30))

    def append_first(*arguments: object) -> object:
        result = original(*arguments)
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, original)
            add(pool, [item(next(ready))])
        return result

    for _ in range(2):
        for table in (pool._items, pool._embeddings):
            before = len(table.fragments())
            with monkeypatch.context() as patched:
                if moment == "plan":
                    patched.setattr(table_module, "Compaction", SimpleNamespace(plan=append_first))
                else:
                    patched.setattr(owner, name, append_first)
                table.compact(STEPS[0])
            assert len(table.fragments()) < before
            # The pool read the rows before they were rewritten; another store reads them now.
            stats = pool.stats()
            expected = items(0, stats.items)
            assert check(pool.snapshot()) == expected
            other = PoolStore(str(tmp_path)).open("reviews")
            assert check(other.snapshot()) == expected
    # Where rows lie in the two tables is the same as well: nothing had to be matched by id.
    assert pool._items._dataset.to_table()["item_id"].to_pylist() == [one.item_id for one in expected]
    assert pool._embeddings._dataset.to_table()["item_id"].to_pylist() == [one.item_id for one in expected]


def test_appending_goes_on_during_a_compaction_in_the_background(
    store: PoolStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = store.create(definition())
    compacting, appended = threading.Event(), threading.Event()
    sync = type(pool._site).sync

    def pause(self: object, table: str, files: list[str]) -> None:
        sync(self, table, files)
        if threading.current_thread().name.startswith("compact"):
            compacting.set()
            assert appended.wait(30)

    monkeypatch.setattr(type(pool._site), "sync", pause)
    for number in range(MOST_FRAGMENTS):
        add(pool, [item(number)])
    assert compacting.wait(30)
    add(pool, items(MOST_FRAGMENTS, MOST_FRAGMENTS + 5))
    assert check(pool.snapshot()) == items(0, MOST_FRAGMENTS + 5)
    appended.set()
    store.close()
    assert len(pool._embeddings.fragments()) < 5
    assert check(PoolStore(str(tmp_path)).open("reviews").snapshot()) == items(0, MOST_FRAGMENTS + 5)


def test_a_text_that_something_else_changed_is_noticed(store: PoolStore) -> None:
    pool = store.create(definition())
    add(pool, items(0, 3))
    snapshot = pool.snapshot()
    pool._items._dataset.update({"text": "'another'"}, where="item_id = 'item-0000001'")
    pool._items.refresh()
    assert snapshot.items_of([0])
    with pytest.raises(StoreUnavailable, match="damaged: its texts are not what they were"):
        snapshot.items_of([1])


@pytest.mark.parametrize("table", ["_items", "_embeddings"])
def test_rows_that_something_else_moved_are_noticed(store: PoolStore, tmp_path: Path, table: str) -> None:
    pool = store.create(definition())
    add(pool, items(0, 3))
    pool.snapshot()
    dataset = getattr(pool, table)._dataset
    lance.write_dataset(dataset.to_table().take([2, 1, 0]), dataset.uri, mode="overwrite")
    add(PoolStore(str(tmp_path)).open("reviews"), items(3, 4))
    with pytest.raises(StoreUnavailable, match="damaged: its rows are not where they were"):
        pool.snapshot()


def test_readers_of_a_version_whose_files_are_gone_go_on_with_the_newest(
    start: Start, store: PoolStore, tmp_path: Path
) -> None:
    pool = store.create(definition())
    for number in range(20):
        add(pool, [item(number)])
    old_store = PoolStore(str(tmp_path))
    old = old_store.open("reviews")
    old.stats()
    snapshot = pool.snapshot()
    reader = start("reader", tmp_path, "reviews")
    assert reader.stdout
    assert reader.stdout.readline() == "ready\n"
    assert ask(reader).startswith("20 20 ")
    for table in (pool._items, pool._embeddings):
        fragments = table.fragments()
        table.compact(STEPS[0])
        table.forget_versions(timedelta(0))
        assert (len(fragments), table.fragments()) == (20, [20])
        assert len(list((tmp_path / "pools" / "reviews" / table._name / "data").iterdir())) == 1
    assert ask(reader).endswith("a fine film 19")
    # This handle has counted the items and read neither embeddings nor texts.
    assert old.vectors(["item-0000007"]).shape == (1, 8)
    assert check(old.snapshot()) == items(0, 20)
    assert check(snapshot) == items(0, 20)
    add(pool, [item(20)])
    assert check(old.snapshot()) == items(0, 21)
    old_store.close()


def test_loading_goes_on_from_where_files_were_removed(
    store: PoolStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = store.create(definition())
    for number in range(10):
        add(pool, items(number * 100, number * 100 + 100))
    old_store = PoolStore(str(tmp_path))
    old = old_store.open("reviews")
    old.stats()
    scan = Table.scan

    def interrupt(self: Table, *arguments: object, **named: object) -> object:
        for number, batch in enumerate(scan(self, *arguments, **named)):
            yield batch
            if self is old._embeddings and number == 0 and len(self.fragments()) == 10:
                pool._embeddings.compact(STEPS[0])
                pool._embeddings.forget_versions(timedelta(0))

    monkeypatch.setattr(Table, "scan", interrupt)
    assert check(old.snapshot()) == items(0, 1_000)
    old_store.close()


def test_versions_and_their_files_do_not_pile_up(
    store: PoolStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.pools.compaction.KEEP_VERSIONS", timedelta(0))
    monkeypatch.setattr("services.pools.compaction.FORGET_SECONDS", 0.0)
    pool = store.create(definition())
    for number in range(4 * MOST_FRAGMENTS):
        add(pool, [item(number)])
    store.close()
    for table in ("items.lance", "embeddings/own-8.lance"):
        for folder in ("_versions", "data"):
            assert len(list((tmp_path / "pools" / "reviews" / table / folder).iterdir())) < 3 * MOST_FRAGMENTS
    assert check(PoolStore(str(tmp_path)).open("reviews").snapshot()) == items(0, 4 * MOST_FRAGMENTS)


def test_what_is_left_is_merged_when_nothing_is_added_for_a_while(
    store: PoolStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.pools.committer.REST_SECONDS", 0.1)
    done = threading.Event()
    forget = Table.forget_versions

    def tell(self: Table, older_than: timedelta) -> None:
        forget(self, older_than)
        if self._name == "items.lance":
            done.set()

    monkeypatch.setattr(Table, "forget_versions", tell)
    pool = store.create(definition())
    for number in range(IDLE[0]):
        add(pool, [item(number)])
    assert done.wait(30)
    assert pool._items.fragments() == pool._embeddings.fragments() == [IDLE[0]]
    assert check(pool.snapshot()) == items(0, IDLE[0])


def test_unfinished_files_are_removed_when_they_are_old(store: PoolStore, tmp_path: Path) -> None:
    pool = store.create(definition())
    add(pool, [item(0)])
    data = tmp_path / "pools" / "reviews" / "items.lance" / "data"
    for name in (".tmpOld", ".tmpNew"):
        (data / name).write_bytes(b"half")
    os.utime(data / ".tmpOld", (0, 0))
    pool._items.forget_versions(timedelta(hours=1))
    assert {path.name for path in data.glob(".tmp*")} == {".tmpNew"}


def test_two_compactions_of_the_same_rows_leave_the_rows(store: PoolStore, tmp_path: Path) -> None:
    pool = store.create(definition())
    for number in range(10):
        add(pool, [item(number)])
    other_store = PoolStore(str(tmp_path))
    other = other_store.open("reviews")
    before = pool._embeddings.fragments()
    assert other._embeddings.fragments() == before
    other._embeddings.compact(STEPS[0])
    pool._embeddings.compact(STEPS[0])
    assert pool._embeddings.fragments() == before
    pool._embeddings.refresh()
    assert pool._embeddings.fragments() == [10]
    third = PoolStore(str(tmp_path)).open("reviews")
    assert check(third.snapshot()) == items(0, 10)
    np.testing.assert_array_equal(pool.vectors(["item-0000003"]), third.vectors(["item-0000003"]))
    other_store.close()
