"""Damage that a loss of power leaves, and how a pool comes back from it."""

import logging
import shutil
from pathlib import Path

import pytest

from services.pools import Pool, PoolNotFound, PoolStore, StoreUnavailable
from services.pools.table import Table
from tests.pools.examples import add, check, definition, item, items

TABLES = ["items.lance", "embeddings/own-8.lance"]


def newest(folder: Path, table: str) -> Path:
    """The newest manifest: their names count down."""
    return min((folder / "pools" / "reviews" / table / "_versions").glob("*.manifest"))


def tear(manifest: Path, how: str) -> None:
    """Leaves of a manifest what a loss of power may leave."""
    whole = manifest.read_bytes()
    torn = {
        "empty": b"",
        "short": whole[:10],
        "cut": whole[: len(whole) // 2],
        "blank": bytes(len(whole)),
        "blank tail": whole[:-12] + bytes(12),
        "wrong offset": whole[:-16] + b"\xff" * 8 + whole[-8:],
        "noise": b"\xa5" * (len(whole) - 16) + whole[-16:],
    }
    manifest.write_bytes(torn[how])


@pytest.fixture
def pool(store: PoolStore) -> Pool:
    """A pool of two commits."""
    pool = store.create(definition())
    add(pool, items(0, 3))
    add(pool, items(3, 6))
    return pool


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("how", ["empty", "short", "cut", "blank", "blank tail", "wrong offset", "noise"])
def test_a_torn_newest_manifest_is_put_aside_loudly(
    pool: Pool, tmp_path: Path, how: str, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = newest(tmp_path, table)
    tear(manifest, how)
    store = PoolStore(str(tmp_path))
    with caplog.at_level(logging.ERROR, "services.pools"):
        reopened = store.open("reviews")
        assert check(reopened.snapshot()) == items(0, 3)
    assert f"version 3 of {table} of pool 'reviews' cannot be read" in caplog.text
    assert [path for path in manifest.parent.iterdir() if path.name.startswith(f"{manifest.name}.unreadable-")]
    # The lost items can be added again, also with other texts, and all is well.
    add(reopened, items(3, 5, "other words"))
    expected = [*items(0, 3), *items(3, 5, "other words")]
    assert check(reopened.snapshot()) == expected
    assert check(PoolStore(str(tmp_path)).open("reviews").snapshot()) == expected
    store.close()


def test_several_torn_manifests_are_put_aside(pool: Pool, tmp_path: Path) -> None:
    add(pool, [item(9)])
    folder = newest(tmp_path, "items.lance").parent
    for manifest in sorted(folder.glob("*.manifest"))[:2]:
        tear(manifest, "blank")
    reopened = PoolStore(str(tmp_path)).open("reviews")
    assert check(reopened.snapshot()) == items(0, 3)
    assert len(list(folder.glob("*.unreadable-*"))) == 2


def test_a_handle_from_before_a_repair_ends(pool: Pool, store: PoolStore, tmp_path: Path) -> None:
    # It knows rows whose numbers will be given again.
    assert len(pool.snapshot()) == 6
    tear(newest(tmp_path, "items.lance"), "cut")
    other = PoolStore(str(tmp_path))
    add(other.open("reviews"), items(7, 9))
    for call in (pool.snapshot, pool.stats, lambda: add(pool, items(3, 6))):
        with pytest.raises(PoolNotFound):
            call()
    assert check(store.open("reviews").snapshot()) == [*items(0, 3), *items(7, 9)]
    other.close()


def test_when_no_manifest_can_be_read_nothing_is_touched(pool: Pool, tmp_path: Path) -> None:
    folder = newest(tmp_path, "items.lance").parent
    for manifest in folder.glob("*.manifest"):
        tear(manifest, "cut")
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(StoreUnavailable, match=r"no version of items\.lance of pool 'reviews' can be read"):
        PoolStore(str(tmp_path)).open("reviews")
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_passing_want_of_means_is_no_damage(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = newest(tmp_path, "items.lance").parent
    before = sorted(path.name for path in folder.iterdir())
    open_version, failures = Table._open, iter([True, True, False, False])

    def fail(self: Table, version: int | None) -> object:
        if version == 3 and next(failures, False):
            raise StoreUnavailable("too many open files")
        return open_version(self, version)

    monkeypatch.setattr(Table, "_open", fail)
    assert check(PoolStore(str(tmp_path)).open("reviews").snapshot()) == items(0, 6)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_manifest_that_another_process_repaired_is_left_alone(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This process finds the damage, but before it has the folder alone, another one repairs it and writes that version.
    tear(newest(tmp_path, "items.lance"), "blank")
    other_store = PoolStore(str(tmp_path))
    shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    add(other_store.open("reviews"), items(7, 9))
    good = newest(tmp_path, "items.lance").read_bytes()
    site = PoolStore(str(tmp_path))._place.attach("reviews")
    site.quarantine("items.lance", lambda version: True)
    assert newest(tmp_path, "items.lance").read_bytes() == good
    other_store.close()


def test_staging_files_of_a_dead_writer_disturb_nobody(pool: Pool, store: PoolStore, tmp_path: Path) -> None:
    for table in TABLES:
        folder = tmp_path / "pools" / "reviews" / table
        # What Lance calls the file of version 4 before it has its name.
        (folder / "_versions" / f"{2**64 - 1 - 4:020d}.manifest#1").write_bytes(b"half")
        (folder / "data" / ".tmpAbCdEf").write_bytes(b"half")
    add(pool, items(6, 9))
    assert check(PoolStore(str(tmp_path)).open("reviews").snapshot()) == items(0, 9)
