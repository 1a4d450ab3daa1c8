"""The whole suite on this machine, as a child process, for as long as a block lasts."""

from __future__ import annotations

import importlib.util
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Self, cast

from prepal._sync.client import Client
from prepal.errors import SuiteFailed

MODULE: Final = "services.local"

_STOPPING: Final = 60.0
"""Seconds for an orderly end, in which running calls are answered; after them the process is killed."""

_TAIL: Final = 40
"""Lines of the log that an error shows."""


@contextmanager
def local(
    data: str | Path | None = None,
    *,
    embedder_port: int = 0,
    selector_port: int = 0,
    trainer_port: int = 0,
    timeout: float = 180.0,
) -> Iterator[Client]:
    """Runs the suite of `prepal up` and yields a client of it; ends the suite with the block.

    Args:
        data: the folder that holds everything, made when it is not there; None takes a temporary folder, which is
            deleted at the end.
        embedder_port: where the embedder listens on this machine; 0 takes a free port.
        selector_port: where the selector listens.
        trainer_port: where the trainer listens.
        timeout: seconds for the start.

    Raises:
        SuiteFailed: when it is not installed or does not start; the text ends with the tail of its log.

    >>> with prepal.local(data="./data") as client:
    ...     client.create_pool("reviews", backbone="minilm")
    """
    require_services()
    if data is None:
        with (
            tempfile.TemporaryDirectory(prefix="prepal-", ignore_cleanup_errors=True) as folder,
            local(
                folder,
                embedder_port=embedder_port,
                selector_port=selector_port,
                trainer_port=trainer_port,
                timeout=timeout,
            ) as client,
        ):
            yield client
        return
    flags = ["--data", str(data)]
    for service, port in (("embedder", embedder_port), ("selector", selector_port), ("trainer", trainer_port)):
        flags += [f"--{service}-port", str(port)]
    with _Suite(suite_command(flags)) as suite:
        at = suite.addresses(timeout)
        with Client(embedder=at["embedder"], selector=at["selector"], trainer=at["trainer"]) as client:
            yield client


def suite_command(flags: Sequence[str]) -> list[str]:
    """Returns the command line that runs the suite."""
    return [sys.executable, "-m", MODULE, *flags]


def require_services() -> None:
    """Checks that the services are installed beside the SDK.

    Raises:
        SuiteFailed: when they are not, with what to do.
    """
    try:
        found = importlib.util.find_spec(MODULE)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise SuiteFailed(
            "the services are not installed in this Python; install them with `pip install 'prepal-services[cpu]'`, "
            "or name a running suite with PREPAL_EMBEDDER, PREPAL_SELECTOR and PREPAL_TRAINER"
        )


class _Suite:
    """The child process and what it says."""

    def __init__(self, command: Sequence[str]) -> None:
        # A session of its own: Ctrl-C in a terminal reaches the block first, which then ends the suite in order.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        output = cast(IO[str], self._process.stdout)
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()

    def addresses(self, timeout: float) -> dict[str, str]:
        """Waits until all services serve, and returns their addresses by name.

        Raises:
            SuiteFailed: when the process ends before, or the time does.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._failed(f"the suite was not ready after {timeout:g} seconds") from None
            if line is None:
                raise self._failed(f"the suite ended with status {self._process.wait()} before it was ready")
            if line.startswith("ready"):
                return dict(re.findall(r"\b(embedder|selector|trainer)=(\S+)", line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOPPING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(1.0)

    def _read(self, output: IO[str]) -> None:
        """Reads all the process says, so that it never waits for a reader."""
        with output:
            for line in output:
                self._tail.append(line)
                # Only the ready line is waited for; what follows it nobody takes out of the queue.
                if line.startswith("ready"):
                    self._lines.put(line)
        self._lines.put(None)

    def _failed(self, what: str) -> SuiteFailed:
        self._reader.join(1.0)
        log = "".join(self._tail).rstrip()
        return SuiteFailed(f"{what}\n{log}" if log else what)
