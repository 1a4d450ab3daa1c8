"""A real suite: `prepal up` with every process, over a folder of its own."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import prepal

START_SECONDS = 120


class Up:
    """One `prepal up`, its addresses and its processes."""

    def __init__(self, data: Path, ports: tuple[int, int, int] = (0, 0, 0)) -> None:
        names = ("--embedder-port", "--selector-port", "--trainer-port")
        flags = [word for name, port in zip(names, ports, strict=True) for word in (name, str(port))]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.local", "--data", str(data), *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self.line = self._first_line()
        self.addresses = dict(re.findall(r"(embedder|selector|trainer)=(\S+)", self.line))

    def client(self) -> prepal.Client:
        """A client of this suite."""
        return prepal.Client(**self.addresses)

    def ports(self) -> tuple[int, int, int]:
        """The services' ports, to start again on."""
        embedder, selector, trainer = (
            int(self.addresses[name].rpartition(":")[2]) for name in ("embedder", "selector", "trainer")
        )
        return embedder, selector, trainer

    def children(self) -> dict[str, int]:
        """Process ids of what the suite runs now, by name."""
        found = {}
        for pid in child_pids(self.process.pid):
            command = command_of(pid)
            for name, sign in {
                "redis": "redis-server",
                "embedder": "services.embedder",
                "selector": "services.selector",
                "trainer": "services.trainer\0",
                "worker": "services.trainer.worker",
            }.items():
                if sign in command:
                    found[name] = pid
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends the suite by a signal and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return status

    def _first_line(self) -> str:
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline() if readable else ""
        if not line.startswith("ready"):
            self.process.kill()
            _, errors = self.process.communicate()
            raise AssertionError(f"prepal up was not ready: {line!r}\n{errors}")
        return line


def child_pids(pid: int) -> list[int]:
    """Process ids of a process's children."""
    listed = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end between two looks.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            listed.append((task / "children").read_text())
    return [int(word) for line in listed for word in line.split()]


def descendants(pid: int) -> list[int]:
    """Process ids of a process's children, their children, and so on."""
    found = child_pids(pid)
    return found + [deeper for child in found for deeper in descendants(child)]


def command_of(pid: int) -> str:
    """A process's command line, its arguments ended by NUL; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until_ended(pids: list[int], seconds: float) -> None:
    """Returns once none of the processes runs; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
        os.close(descriptor)
        assert ended, f"process {pid} ({command_of(pid)}) did not end within {seconds:g} s"
