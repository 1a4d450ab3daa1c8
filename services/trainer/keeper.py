"""Keeps an attempt's lease while the attempt works, and tells the attempt when to stop."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Self

from services.trainer import resume
from services.trainer.errors import Stopped, StoreUnavailable
from services.trainer.job import Progress
from services.trainer.leases import Leases, Renewed

LOGGER = logging.getLogger(__name__)
# How often the lease is renewed, progress told and a wish to cancel heard of.
_BEAT_SECONDS = 0.5
# An attempt that was asked to stop and is still in one step, or loading, after so long is ended with its process.
_PATIENCE_SECONDS = 20.0


class Stop(Enum):
    """Why an attempt is to stop."""

    CANCELLED = auto()
    HANDED_BACK = auto()
    LEASE_LOST = auto()
    WORKER_GONE = auto()


class Keeper:
    """A thread that talks to Redis, so that the training thread never waits for it; a context manager.

    Args:
        leases: where the lease is.
        job_id: the job.
        token: the attempt's.
        end: ends this process's part in the job, for the reason given, and the process; called from the thread when the
            attempt does not stop by itself.
    """

    def __init__(self, leases: Leases, job_id: str, token: str, end: Callable[[Stop], None]) -> None:
        self._leases = leases
        self._job_id = job_id
        self._token = token
        self._end = end
        self._worker = os.getppid()
        self._progress: Progress | None = None
        self._fruitful = False
        self._why: Stop | None = None
        self._asked_at = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    @property
    def why(self) -> Stop | None:
        """Why the attempt is to stop; None while it is not."""
        return self._why

    @property
    def stop(self) -> bool:
        """Whether the attempt is to stop now."""
        return self._why is not None

    @property
    def save_first(self) -> bool:
        """Whether a checkpoint is worth its time before the attempt stops."""
        return self._why is Stop.HANDED_BACK

    @property
    def progress(self) -> Progress | None:
        """How far the attempt is; None before its first step."""
        return self._progress

    def check(self) -> None:
        """Raises Stopped when the attempt is to stop."""
        if self.stop:
            raise Stopped

    def hand_back(self) -> None:
        """Asks the attempt to stop, so that another worker goes on with the job. Safe to call in a signal handler."""
        self._ask(Stop.HANDED_BACK)

    def stepped(self, *, step: int, total_steps: int, epoch: float, loss: float | None) -> None:
        """Takes note of a step done."""
        self._progress = Progress(step=step, total_steps=total_steps, epoch=epoch, loss=loss)

    def saved(self, checkpoint: Path, *, step: int, seconds: float) -> None:
        """Makes a checkpoint that was just written the one to go on from."""
        resume.keep(checkpoint, step=step, seconds=seconds)
        self._fruitful = True

    def _ask(self, why: Stop) -> None:
        if self._why is None:
            self._asked_at = time.monotonic()
            self._why = why

    def _keep(self) -> None:
        told: Progress | None = None
        while not self._done.wait(_BEAT_SECONDS):
            if os.getppid() != self._worker:
                self._end(Stop.WORKER_GONE)
            if self._why and time.monotonic() - self._asked_at > _PATIENCE_SECONDS:
                self._end(self._why)
            progress, fruitful = self._progress, self._fruitful
            try:
                answer = self._leases.renew(
                    self._job_id, self._token, progress=progress if progress is not told else None, fruitful=fruitful
                )
            except StoreUnavailable:
                # While Redis is away nobody else can take the job either.
                continue
            except Exception:  # without renewals the job would be begun again beside this attempt
                LOGGER.exception("a lease was not renewed", extra={"job": self._job_id})
                continue
            told = progress
            if fruitful:
                self._fruitful = False
            if answer is Renewed.CANCEL:
                self._ask(Stop.CANCELLED)
            elif answer is Renewed.LOST:
                self._ask(Stop.LEASE_LOST)
