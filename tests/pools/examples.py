"""Items whose embeddings follow from their texts, so that a test can tell whether the two belong together."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from services.pools import Item, Pool, PoolDefinition, Snapshot

DIMENSION = 8


def definition(name: str = "reviews", dimension: int = DIMENSION) -> PoolDefinition:
    """A pool of the client's own embeddings."""
    return PoolDefinition(
        name=name,
        backbone=None,
        fingerprint=f"own-{dimension}",
        dimension=dimension,
        created_at=datetime.now(UTC),
        incarnation=uuid4().hex,
    )


def item(number: int, words: str = "a fine film") -> Item:
    """An item of its own for each number."""
    return Item(f"item-{number:07d}", f"{words} {number}")


def items(start: int, stop: int, words: str = "a fine film") -> list[Item]:
    """Items start to stop."""
    return [item(number, words) for number in range(start, stop)]


def vector(text: str) -> npt.NDArray[np.float16]:
    """An embedding that no other text has."""
    return np.frombuffer(blake2b(text.encode(), digest_size=DIMENSION).digest(), np.uint8).astype(np.float16)


def vectors(of: Iterable[Item]) -> npt.NDArray[np.float16]:
    """The embeddings of items, shape (n, D)."""
    return np.array([vector(one.text) for one in of], np.float16).reshape(-1, DIMENSION)


def add(pool: Pool, added: Sequence[Item]) -> None:
    """Appends items with their embeddings."""
    pool.append(added, vectors(added))


def say(line: str) -> None:
    """Writes a line to standard output at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def check(snapshot: Snapshot) -> list[Item]:
    """Asserts that every item is whole and there once. Returns the items in order of row."""
    rows = np.arange(len(snapshot))
    found = snapshot.items_of(rows)
    ids = snapshot.ids_of(rows)
    assert [one.item_id for one in found] == ids
    assert len(set(ids)) == len(ids)
    np.testing.assert_array_equal(snapshot.gather(rows), vectors(found))
    stacked = np.concatenate([np.empty((0, DIMENSION), np.float16), *snapshot.blocks()])
    np.testing.assert_array_equal(stacked, vectors(found))
    np.testing.assert_array_equal(snapshot.rows_of(ids), rows)
    return found
