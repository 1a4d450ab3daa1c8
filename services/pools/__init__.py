"""A pool on disk or object storage: items and embeddings."""

from services.pools.definition import BackboneDefinition, PairMode, PoolDefinition, Pooling
from services.pools.errors import PoolExists, PoolNotFound, StoreUnavailable
from services.pools.item import Item, text_digest
from services.pools.pool import Pool, PoolStats
from services.pools.snapshot import Snapshot
from services.pools.store import PoolStore

__all__ = [
    "BackboneDefinition",
    "Item",
    "PairMode",
    "Pool",
    "PoolDefinition",
    "PoolExists",
    "PoolNotFound",
    "PoolStats",
    "PoolStore",
    "Pooling",
    "Snapshot",
    "StoreUnavailable",
    "text_digest",
]
