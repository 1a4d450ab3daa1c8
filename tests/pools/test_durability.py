"""What was acknowledged is there after any death, whole and once."""

import os
import random
import signal
from pathlib import Path

import pytest

from services.pools import PoolExists, PoolStore, StoreUnavailable
from services.pools.folder import Folder
from services.pools.table import Table
from tests.pools.conftest import Start
from tests.pools.examples import add, check, definition, item, items


class Died(BaseException):
    """Stands for the end of the process: nothing in the store handles it."""


def test_acknowledged_items_survive_kill_9_at_random_moments(start: Start, tmp_path: Path) -> None:
    chance = random.Random()
    store = PoolStore(str(tmp_path))
    store.create(definition())
    acknowledged: set[str] = set()
    rounds, span = 4, 100_000
    writers = [
        start("writer", tmp_path, "reviews", f"round {number}", number * span, (number + 1) * span, 3)
        for number in range(rounds)
    ]
    for writer in writers:
        assert writer.stdin
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
        writer.stdin.write("go\n")
        for _ in range(chance.randint(1, 400)):
            acknowledged.add(writer.stdout.readline().strip())
        writer.send_signal(signal.SIGKILL)
        # What it had said before it died was acknowledged too; the last line may be cut.
        acknowledged.update(line.strip() for line in writer.stdout if line.endswith("\n"))
        assert writer.wait(10) == -signal.SIGKILL
        found = check(PoolStore(str(tmp_path)).open("reviews").snapshot())
        assert acknowledged <= {one.item_id for one in found}
    # A store that was open all along sees the same, and goes on.
    pool = store.open("reviews")
    assert check(pool.snapshot()) == found
    add(pool, [item(rounds * span)])
    assert check(pool.snapshot()) == [*found, item(rounds * span)]
    store.close()


@pytest.mark.parametrize("step", ["embeddings staged", "items staged", "embeddings committed", "items committed"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_death_at_any_step_leaves_no_half_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    store = PoolStore(str(tmp_path))
    pool = store.create(definition())
    add(pool, items(0, 3))
    table, _, method = step.partition(" ")
    name = {"staged": "stage", "committed": "commit"}[method]
    original = getattr(Table, name)

    def die(self: Table, argument: object) -> object:
        if not self._name.startswith(table):
            return original(self, argument)
        if moment == "after":
            original(self, argument)
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Table, name, die)
        with pytest.raises(Died):
            add(pool, items(3, 6))
    # The same ids come again with other texts: embeddings that the dead writer left must not be taken for theirs.
    again = PoolStore(str(tmp_path))
    reopened = again.open("reviews")
    there = check(reopened.snapshot())
    assert there == items(0, 6 if (step, moment) == ("items committed", "after") else 3)
    add(reopened, items(3, 6, "a dull one"))
    expected = there + items(3, 6, "a dull one")[len(there) - 3 :]
    assert check(reopened.snapshot()) == expected
    # And so sees the store that was open all along.
    assert check(pool.snapshot()) == expected
    again.close()
    store.close()


@pytest.mark.parametrize("step", ["build", "sync", "rename"])
def test_a_create_that_was_interrupted_leaves_the_name_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def die(*_: object, **__: object) -> None:
        raise Died

    interrupted = PoolStore(str(tmp_path))
    with monkeypatch.context() as patched:
        # Nothing is tidied up by a process that dies.
        patched.setattr("services.pools.local.shutil.rmtree", lambda *_, **__: None)
        where = {"build": "services.pools.store.create_table", "sync": "services.pools.local.sync_path"}
        if step == "rename":
            patched.setattr(Path, "rename", die)
        else:
            patched.setattr(where[step], die)
        with pytest.raises(Died):
            interrupted.create(definition())
    store = PoolStore(str(tmp_path))
    assert store.names() == []
    assert not store.delete("reviews")
    add(store.create(definition()), items(0, 3))
    assert check(store.open("reviews").snapshot()) == items(0, 3)
    left = next(path for path in (tmp_path / "pools").iterdir() if path.name.startswith("."))
    os.utime(left, (0, 0))
    PoolStore(str(tmp_path))
    assert [path.name for path in (tmp_path / "pools").iterdir()] == ["reviews"]
    store.close()


def test_a_delete_that_was_interrupted_is_a_delete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PoolStore(str(tmp_path))
    add(store.create(definition()), items(0, 3))

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr("services.pools.local.shutil.rmtree", die)
        with pytest.raises(Died):
            store.delete("reviews")
    assert store.names() == []
    add(store.create(definition()), items(5, 6))
    assert len(list((tmp_path / "pools").iterdir())) == 2
    again = PoolStore(str(tmp_path))
    assert [path.name for path in (tmp_path / "pools").iterdir()] == ["reviews"]
    assert check(again.open("reviews").snapshot()) == items(5, 6)
    store.close()


def test_everything_is_synced_before_it_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[tuple[int, int]] = set()
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        status = os.fstat(descriptor)
        synced.add((status.st_ino, status.st_mtime_ns))

    monkeypatch.setattr(os, "fsync", record)
    store = PoolStore(str(tmp_path))
    pool = store.create(definition())
    for number in range(3):
        add(pool, [item(number)])
    # A hint may be lost, and transactions are only for writers that run at the same time.
    needed = [path for path in (tmp_path / "pools").rglob("*") if "_transactions" not in path.parts]
    needed = [path for path in needed if path.name != "latest_version_hint.json"]
    assert len(needed) > 12
    for path in needed:
        status = path.stat()
        assert (status.st_ino, status.st_mtime_ns) in synced, path
    store.close()


def test_files_are_synced_before_the_version_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PoolStore(str(tmp_path))
    pool = store.create(definition())
    done: list[str] = []
    for owner, name in [(Folder, "sync"), (Folder, "sync_version"), (Table, "commit")]:
        original = getattr(owner, name)

        def record(self: object, *arguments: object, original: object = original, name: str = name) -> object:
            table = self._name if isinstance(self, Table) else arguments[0]
            if name == "commit":
                done.append(f"commit {table}")
            result = original(self, *arguments)
            if name != "commit":
                done.append(f"{name} {table}")
            return result

        monkeypatch.setattr(owner, name, record)
    add(pool, [item(0)])
    embeddings, texts = "embeddings/own-8.lance", "items.lance"
    assert done == [
        f"sync {embeddings}",
        f"sync {texts}",
        f"commit {embeddings}",
        f"sync_version {embeddings}",
        f"commit {texts}",
        f"sync_version {texts}",
    ]
    store.close()


@pytest.mark.parametrize("ask", ["known", "append"])
def test_what_another_process_added_is_synced_before_it_is_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    other_store, store = PoolStore(str(tmp_path)), PoolStore(str(tmp_path))
    other = other_store.create(definition())
    pool = store.open("reviews")
    synced: list[tuple[object, str, int]] = []
    sync_version = Folder.sync_version

    def record(self: Folder, table: str, version: int) -> None:
        synced.append((self, table, version))
        sync_version(self, table, version)

    monkeypatch.setattr(Folder, "sync_version", record)
    add(other, items(0, 3))
    for _ in range(2):
        if ask == "known":
            assert len(pool.known(["item-0000001", "nobody"])) == 1
        else:
            add(pool, items(1, 2))
    mine = [(table, version) for site, table, version in synced if site is pool._site]
    assert mine == [("embeddings/own-8.lance", 2), ("items.lance", 2)]
    other_store.close()
    store.close()


def test_a_folder_that_cannot_be_written_is_an_error_and_the_pool_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PoolStore(str(tmp_path))
    pool = store.create(definition())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "sync", full)
        with pytest.raises(StoreUnavailable, match="No space left on device"):
            add(pool, items(0, 3))
    add(pool, items(0, 3))
    assert check(pool.snapshot()) == items(0, 3)
    with monkeypatch.context() as patched:
        patched.setattr("services.pools.local.sync_path", full)
        with pytest.raises(StoreUnavailable, match=r"creating pool 'other' failed: .*No space left"):
            store.create(definition("other"))
    assert store.names() == ["reviews"]
    with pytest.raises(PoolExists):
        store.create(definition())
    store.close()
