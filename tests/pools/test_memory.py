"""What a pool costs in memory, measured in a process of its own."""

import json
from pathlib import Path

import numpy as np

from services.pools import Item, PoolStore
from tests.pools.conftest import Start
from tests.pools.examples import definition

ITEMS, DIMENSION = 100_000, 384


def test_a_snapshot_takes_2_2_d_and_100_bytes_an_item_at_most(start: Start, store: PoolStore, tmp_path: Path) -> None:
    pool = store.create(definition(dimension=DIMENSION))
    embeddings = np.random.default_rng(0).standard_normal((ITEMS // 2, DIMENSION)).astype(np.float16)
    for first in (0, ITEMS // 2):
        pool.append([Item(f"some-prefix/{first + n:08d}", "t" * 100) for n in range(ITEMS // 2)], embeddings)
    store.close()
    measured = start("measure", tmp_path, "reviews")
    output, _ = measured.communicate(timeout=60)
    sizes = json.loads(output)
    assert sizes["items"] == ITEMS
    # What the process grew by after it had read another pool, so that what Lance takes once for itself is not in it.
    assert sizes["grown_bytes"] / ITEMS <= 2.2 * DIMENSION + 100
