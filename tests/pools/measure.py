"""Says as JSON what a process grows by when it reads a pool. Arguments: DATA, the pool's name."""

import ctypes
import gc
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from services.pools import Item, PoolStore
from tests.pools.examples import definition, say


def resident() -> int:
    """Bytes of this process in memory, after what is free was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    fields = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) * 1024


def main() -> None:
    """Reads a small pool first, so that Lance and Arrow are warm."""
    with tempfile.TemporaryDirectory() as folder:
        warm = PoolStore(folder)
        pool = warm.create(definition(dimension=384))
        pool.append([Item(str(n), "t") for n in range(20_000)], np.zeros((20_000, 384), np.float16))
        other = PoolStore(folder)
        other.open("reviews").snapshot()
        del pool, other
        warm.close()
        del warm
        before = resident()
        store = PoolStore(sys.argv[1])
        opened = store.open(sys.argv[2])
        snapshot = opened.snapshot()
        say(json.dumps({"items": len(snapshot), "grown_bytes": resident() - before}))
        store.close()


if __name__ == "__main__":
    main()
