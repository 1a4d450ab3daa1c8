"""Commits what concurrent callers append, many of them at once."""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from services.pools.addition import Addition
from services.pools.errors import StoreUnavailable

_log = logging.getLogger(__name__)

GROUP_ROWS: Final = 32_768
GROUP_BYTES: Final = 256 << 20
QUEUED_BYTES: Final = 512 << 20
REST_SECONDS: Final = 2.0


@dataclass(slots=True)
class _Waiting:
    addition: Addition
    size: int
    done: Future[None] = field(default_factory=Future)


class Committer:
    """One thread that takes all that waits, hands it to `commit` as a group, and then lets the callers go.

    While one group is on its way to the disk the next one gathers, so that many callers share the cost of a commit.
    The queue is bounded: a caller waits while more than 512 MiB wait before it.

    Args:
        name: Names the thread.
        commit: Makes a group durable; what it raises is raised to each caller of the group.
        rest: Called when nothing was added for two seconds after a commit.
    """

    def __init__(
        self, name: str, commit: Callable[[list[Addition], int], None], rest: Callable[[], None] = lambda: None
    ) -> None:
        self._commit = commit
        self._rest = rest
        self._queue: deque[_Waiting] = deque()
        self._queued = 0
        self._closed = False
        self._changed = threading.Condition()
        # A daemon: what was not acknowledged may be lost when the process ends without close().
        self._thread = threading.Thread(target=self._run, name=f"commit-{name}", daemon=True)
        self._thread.start()

    def add(self, addition: Addition) -> None:
        """Returns when the addition is durable. Raises what the commit raised, and StoreUnavailable after close()."""
        waiting = _Waiting(addition, addition.size)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._queue or self._queued < QUEUED_BYTES)
            if self._closed:
                raise StoreUnavailable("the pool store is closed")
            self._queue.append(waiting)
            self._queued += waiting.size
            self._changed.notify_all()
        waiting.done.result()

    def close(self) -> None:
        """Commits what waits, and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next():
            try:
                self._commit([waiting.addition for waiting in group], secrets.randbits(63))
            except BaseException as error:  # noqa: BLE001 - raised to each caller; none may wait for ever
                for waiting in group:
                    waiting.done.set_exception(error)
            else:
                for waiting in group:
                    waiting.done.set_result(None)
            self._rest_if_idle()

    def _rest_if_idle(self) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: self._queue or self._closed, REST_SECONDS):
                return
        try:
            self._rest()
        except Exception:  # noqa: BLE001 - logged; the thread goes on with the next callers
            _log.exception("what follows the last commit failed")

    def _next(self) -> list[_Waiting]:
        """Waits for work. Returns the next group, empty after close() when nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            group: list[_Waiting] = []
            rows = size = 0
            while self._queue:
                following = self._queue[0]
                rows += following.addition.items.num_rows
                size += following.size
                if group and (rows > GROUP_ROWS or size > GROUP_BYTES):
                    break
                group.append(self._queue.popleft())
                self._queued -= following.size
            self._changed.notify_all()
            return group
