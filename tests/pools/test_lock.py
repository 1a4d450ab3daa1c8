"""Locks between processes; two descriptors in one process are as two processes to the kernel."""

import fcntl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.pools import PoolNotFound
from services.pools.folder import Folder
from services.pools.lock import FolderLock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with its locks."""
    path = tmp_path / "pool"
    path.mkdir()
    FolderLock.prepare(path)
    return path


def test_many_share_and_one_has_it_alone(folder: Path) -> None:
    alone = threading.Event()

    def take() -> None:
        with FolderLock(folder).exclusive():
            alone.set()

    with ThreadPoolExecutor(1) as executor:
        with FolderLock(folder).shared(), FolderLock(folder).shared():
            taken = executor.submit(take)
            assert not alone.wait(0.05)
        taken.result(10)
    assert alone.is_set()


def test_who_waits_to_have_it_alone_is_not_kept_out_by_those_who_come_later(folder: Path) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def take() -> None:
        waiting.set()
        with FolderLock(folder).exclusive():
            order.append("alone")

    def share() -> None:
        with FolderLock(folder).shared():
            order.append("shared")

    with ThreadPoolExecutor(2) as executor:
        with FolderLock(folder).shared():
            taken = executor.submit(take)
            assert waiting.wait(10)
            # It is at the gate, or in it and before the room.
            while not _gate_closed(folder):
                pass
            shared = executor.submit(share)
        taken.result(10)
        shared.result(10)
    assert order == ["alone", "shared"]


def test_a_folder_replaced_while_waiting_is_not_locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = threading.Event()
    flock = fcntl.flock

    def tell(descriptor: int, mode: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            waits.set()
        flock(descriptor, mode)

    monkeypatch.setattr(fcntl, "flock", tell)

    def share(site: Folder) -> None:
        with site.shared():
            pass

    with ThreadPoolExecutor(1) as executor:
        with FolderLock(folder).exclusive():
            waiting = executor.submit(share, Folder("pool", folder))
            assert waits.wait(10)
            folder.rename(folder.with_name("deleted"))
            folder.mkdir()
            FolderLock.prepare(folder)
        with pytest.raises(PoolNotFound):
            waiting.result(10)
    share(Folder("pool", folder))


def test_a_folder_that_is_gone_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), FolderLock(tmp_path / "gone").exclusive():
        pass


def _gate_closed(folder: Path) -> bool:
    with (folder / "gate.lock").open("r+") as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
