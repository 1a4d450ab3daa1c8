"""Appends to a pool from several threads and prints each id once it is acknowledged.

Arguments: DATA, the pool's name, the words of the texts, the first number, the last number, threads. Says "ready" and
waits for a line on standard input before it begins.
"""

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from services.pools import PoolStore
from tests.pools import examples


def main() -> None:
    """Writes until all numbers are done."""
    data, name, words = sys.argv[1:4]
    first, last, threads = map(int, sys.argv[4:7])
    store = PoolStore(data)
    pool = store.open(name)
    examples.say("ready")
    sys.stdin.readline()
    lock = threading.Lock()
    following = first

    def write(seed: int) -> None:
        nonlocal following
        sizes = random.Random(seed)
        while True:
            with lock:
                start, stop = following, min(last, following + sizes.choice([1, 2, 7, 50]))
                following = stop
            if start == stop:
                return
            added = examples.items(start, stop, words)
            examples.add(pool, added)
            with lock:
                examples.say("\n".join(one.item_id for one in added))

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(write, range(threads)))
    store.close()
    examples.say("done")


if __name__ == "__main__":
    main()
