"""Answers one line for each line on standard input: what a process sees that only reads.

Arguments: DATA, the pool's name. Answers "VERSION ITEMS INCARNATION LAST_TEXT", or the name of what was raised.
"""

import sys

from services.pools import PoolNotFound, PoolStore, StoreUnavailable
from tests.pools.examples import say


def main() -> None:
    """Answers until standard input ends."""
    store = PoolStore(sys.argv[1])
    say("ready")
    for _ in sys.stdin:
        try:
            snapshot = store.open(sys.argv[2]).snapshot()
            last = snapshot.items_of([len(snapshot) - 1])[0].text if len(snapshot) else ""
        except (PoolNotFound, StoreUnavailable) as error:
            say(type(error).__name__)
        else:
            say(f"{snapshot.version} {len(snapshot)} {snapshot.incarnation} {last}")


if __name__ == "__main__":
    main()
