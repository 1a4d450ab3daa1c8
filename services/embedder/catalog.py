"""Which pools there are."""

from __future__ import annotations

from collections.abc import Sequence

from prepal.v1 import embedder_pb2 as pb

from services.embedder.messages import pool_message
from services.pools import PoolDefinition, PoolExists, PoolNotFound, PoolStore


class Catalog:
    """Creates and shows pools. Blocks: its methods read and write the store.

    Args:
        store: The pools.
    """

    def __init__(self, store: PoolStore) -> None:
        self._store = store

    def create(self, definition: PoolDefinition) -> pb.Pool:
        """Creates a pool, or returns the one whose embeddings are the same.

        Raises:
            PoolExists: There is one of that name with other embeddings.
        """
        try:
            pool = self._store.create(definition)
        except PoolExists:
            pool = self._store.open(definition.name)
            if not _same(pool.definition, definition):
                raise
        return pool_message(pool, pool.stats())

    def show(self, name: str) -> pb.Pool:
        """Returns a pool. Raises PoolNotFound."""
        pool = self._store.open(name)
        return pool_message(pool, pool.stats())

    def show_all(self, names: Sequence[str]) -> list[pb.Pool]:
        """Returns pools in the order asked, without those deleted meanwhile."""
        pools = []
        for name in names:
            try:
                pools.append(self.show(name))
            except PoolNotFound:
                continue
        return pools


def _same(there: PoolDefinition, wanted: PoolDefinition) -> bool:
    if there.backbone is None or wanted.backbone is None:
        return there.backbone is wanted.backbone and there.dimension == wanted.dimension
    return there.fingerprint == wanted.fingerprint
