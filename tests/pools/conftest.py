"""A store in a folder, and processes that write to it and read from it."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.pools import PoolStore

ROOT = Path(__file__).resolve().parents[2]

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compacted because a test is slow."""
    monkeypatch.setattr("services.pools.committer.REST_SECONDS", 3600.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PoolStore]:
    """A store of its own."""
    store = PoolStore(str(tmp_path))
    yield store
    store.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `python -m tests.pools.MODULE ARGUMENTS` with pipes; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []
    # A process that hangs must fail the test, not hold it: reading its output ends when it is killed.
    watchdogs: list[threading.Timer] = []

    def start(module: str, *arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.pools.{module}", *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            # Memory that is measured shall be what is in use, not what the allocator keeps for each thread.
            env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        )
        started.append(process)
        watchdogs.append(threading.Timer(60, process.kill))
        watchdogs[-1].start()
        return process

    yield start
    for watchdog in watchdogs:
        watchdog.cancel()
    for process in started:
        process.kill()
        process.communicate()
