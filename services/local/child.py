"""One child process that is started again when it dies."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LOGGER = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
# A child that lived this long is taken to be sound: its next death is answered without a pause again.
_SOUND_SECONDS = 30.0


async def _ready_at_once() -> None:
    return


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """What to run and how to know that it works.

    Attributes:
        name: its name in logs and messages.
        command: program and arguments.
        log: the file that takes its output.
        environment: variables on top of this process's own.
        ready: returns once the process does its work; asked after every start.
        stop_seconds: how long it may take to end after SIGTERM.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], Awaitable[None]] = _ready_at_once
    stop_seconds: float = 30.0


class DiedWhileStarting(Exception):
    """A child ended before it ever was ready; the message has the end of its log."""


class Child:
    """Keeps one process running until `stop`."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The running process's id, None between two lives."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Starts the process and returns when it is ready; from then on a death is followed by a new start.

        Raises:
            DiedWhileStarting: it ended before it was ready.
        """
        process = await self._spawn()
        ready = asyncio.ensure_future(self.spec.ready())
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise DiedWhileStarting(
                    f"{self.spec.name} ended with status {process.returncode} before it was ready; the end of its log "
                    f"({self.spec.log}):\n{_tail(self.spec.log)}"
                )
            ready.result()
        finally:
            ready.cancel()
            ended.cancel()
        self._keeper = asyncio.create_task(self._keep(process))

    async def stop(self) -> None:
        """Ends the process: SIGTERM, then SIGKILL when it does not end in its time."""
        self._stopping = True
        if self._keeper:
            self._keeper.cancel()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self.spec.stop_seconds)
        except TimeoutError:
            LOGGER.warning(
                "%s did not end within %g s of SIGTERM and is killed", self.spec.name, self.spec.stop_seconds
            )
            process.kill()
            await process.wait()

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        pause = 0.0
        while True:
            begun = time.monotonic()
            status = await process.wait()
            lived = time.monotonic() - begun
            pause = 0.0 if lived >= _SOUND_SECONDS else min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            LOGGER.error("%s ended with status %s and is started again", self.spec.name, status, extra={"pause": pause})
            await asyncio.sleep(pause)
            process = await self._spawn()

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self.spec.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.spec.environment},
                # Ctrl-C reaches the whole group of the terminal; children are to end in order, by `stop`.
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        LOGGER.info("%s is started", self.spec.name, extra={"pid": self._process.pid})
        return self._process


def _end_with_parent() -> None:
    """Asks the kernel to end this child when its parent dies, even by SIGKILL, so that no process is left."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
