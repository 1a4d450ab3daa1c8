"""Keeps tables quick to read that grew by many small commits."""

import logging
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final
from weakref import WeakKeyDictionary

from services.pools.errors import PoolNotFound, StoreUnavailable
from services.pools.place import Site
from services.pools.table import Table

_log = logging.getLogger(__name__)

# While commits follow one another, a compaction begins at so many fragments and leaves at most so many.
BUSY: Final = (32, 8)
# When there was no commit for a while, what is left is merged as well: reading 50 texts opens the files they are in.
IDLE: Final = (8, 4)
# Each step an eighth of the next: a row is rewritten about once a step as the pool grows, not at every compaction.
STEPS: Final = (4_096, 32_768, 262_144)
# A reader that is in the middle of a version has this long to end; afterwards it goes on with the newest one.
KEEP_VERSIONS: Final = timedelta(minutes=1)
FORGET_SECONDS: Final = 60.0


def target_rows(fragments: Sequence[int], most: int, wanted: int) -> int | None:
    """Returns the fragment size to compact to, None when compacting is not worth it.

    Args:
        fragments: Rows of each fragment, in order. Those of the largest step or more do not count any more.
        most: Fragments from which on compacting is worth it.
        wanted: Fragments that may be left.

    Returns:
        The smallest step that leaves as many fragments as wanted, because it rewrites the fewest rows.
    """
    small = [rows for rows in fragments if rows < STEPS[-1]]
    if len(small) < most:
        return None
    for step in STEPS:
        below = [rows for rows in small if rows < step]
        if len(small) - len(below) + -(-sum(below) // step) <= wanted:
            return step
    return None


class Compactor:
    """One background thread that compacts tables, whichever process wrote them.

    Rows keep their order and their numbers. Old versions are kept for a minute.
    """

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="compact")
        self._busy: set[Table] = set()
        self._forgotten: WeakKeyDictionary[Table, float] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def consider(self, site: Site, table: Table, limits: tuple[int, int]) -> None:
        """Starts to compact a table if it is worth it under BUSY or IDLE limits. Returns at once."""
        target = target_rows(table.fragments(), *limits)
        with self._lock:
            if target is None or table in self._busy:
                return
            self._busy.add(table)
            try:
                self._worker.submit(self._compact, site, table, target)
            except RuntimeError:  # Closed.
                self._busy.discard(table)

    def close(self) -> None:
        """Waits for the compaction that has begun, and begins no other."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _compact(self, site: Site, table: Table, target: int) -> None:
        try:
            with site.shared():
                table.compact(target)
                # Each time all manifests are read, those of the versions that are kept as well.
                if time.monotonic() - self._forgotten.get(table, -math.inf) > FORGET_SECONDS:
                    self._forgotten[table] = time.monotonic()
                    table.forget_versions(KEEP_VERSIONS)
        except PoolNotFound:
            pass
        except StoreUnavailable as error:
            # The next commit considers it again.
            _log.warning("a compaction was given up: %s", error)
        finally:
            with self._lock:
                self._busy.discard(table)
