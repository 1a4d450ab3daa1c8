"""Several processes on one pool."""

import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from services.pools import PoolStats, PoolStore, text_digest
from services.pools.table import Staged, Table
from tests.pools.conftest import Start
from tests.pools.examples import add, check, definition, items, vectors


def ask(reader: "subprocess.Popen[str]") -> str:
    """What the reader sees now."""
    assert reader.stdin
    assert reader.stdout
    reader.stdin.write("\n")
    return reader.stdout.readline().strip()


def test_a_reader_in_another_process_follows(start: Start, store: PoolStore, tmp_path: Path) -> None:
    first = store.create(definition())
    reader = start("reader", tmp_path, "reviews")
    assert reader.stdout
    assert reader.stdout.readline() == "ready\n"
    incarnation = first.definition.incarnation
    assert ask(reader) == f"0 0 {incarnation}"
    for stop in (1, 3, 200):
        add(first, items(first.stats().items, stop))
        assert ask(reader) == f"{stop} {stop} {incarnation} a fine film {stop - 1}"
    store.delete("reviews")
    assert ask(reader) == "PoolNotFound"
    # As many commits as before, so that only the incarnation tells the two pools apart.
    second = store.create(definition())
    for start_at in range(3):
        add(second, items(start_at, start_at + 1, "another"))
    assert ask(reader) == f"3 3 {second.definition.incarnation} another 2"


def test_two_processes_that_append_the_same_ids_agree_on_each(start: Start, store: PoolStore, tmp_path: Path) -> None:
    pool = store.create(definition())
    count = 1_500
    writers = [start("writer", tmp_path, "reviews", words, 0, count, 2) for words in ("first", "second")]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
    for writer in writers:
        assert writer.stdout
        said = writer.stdout.read().split("\n")
        assert said[-2:] == ["done", ""]
        assert len(set(said[:-2])) == count
    # One reader read as the pool grew, the other reads it at the end: they number the items alike.
    found = check(pool.snapshot())
    assert len(found) == count
    other = PoolStore(str(tmp_path)).open("reviews")
    assert check(other.snapshot()) == found
    assert other.stats() == pool.stats()
    assert pool.stats().version >= count
    assert {one.text.split()[0] for one in found} == {"first", "second"}


def test_of_two_writers_that_race_for_an_id_the_first_to_commit_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_store, quick_store = PoolStore(str(tmp_path)), PoolStore(str(tmp_path))
    slow = slow_store.create(definition())
    quick = quick_store.open("reviews")
    stage = Table.stage

    def overtaken(self: Table, rows: pa.Table) -> Staged:
        staged = stage(self, rows)
        if self is slow._items:
            add(quick, items(2, 5, "quick"))
        return staged

    monkeypatch.setattr(Table, "stage", overtaken)
    add(slow, items(0, 4, "slow"))
    expected = [*items(2, 5, "quick"), *items(0, 2, "slow")]
    for pool in (slow, quick, PoolStore(str(tmp_path)).open("reviews")):
        assert check(pool.snapshot()) == expected
        assert pool.stats() == PoolStats(items=5, version=7)
        assert pool.known(["item-0000002"]) == {"item-0000002": text_digest("quick 2", None)}
        np.testing.assert_array_equal(pool.vectors(["item-0000003"]), vectors(items(3, 4, "quick")))
    slow_store.close()
    quick_store.close()
