"""What the trainer reads of a pool."""

from __future__ import annotations

from collections.abc import Sequence

from services.pools import PairMode, PoolStore
from services.pools import PoolNotFound as NoPool
from services.pools import StoreUnavailable as PoolsAway
from services.trainer.errors import ItemsMissing, PoolNotFound, PoolStoreUnavailable
from services.trainer.inputs import PoolFacts
from services.trainer.job import Definition
from services.trainer.text import Text

_TAKE = 10_000


class Pools:
    """Reads pools.

    Args:
        store: where they are.
    """

    def __init__(self, store: PoolStore) -> None:
        self._store = store

    def facts(self, name: str) -> PoolFacts:
        """Returns what a job needs to know of a pool. Raises PoolNotFound, PoolStoreUnavailable."""
        try:
            definition = self._store.open(name).definition
        except NoPool as error:
            raise PoolNotFound(str(error)) from error
        except PoolsAway as error:
            raise PoolStoreUnavailable(f"pool {name!r} cannot be read; try again shortly") from error
        if definition.backbone is None:
            return PoolFacts(definition.incarnation, None, None)
        mode: PairMode | None = definition.backbone.pair_mode
        return PoolFacts(definition.incarnation, definition.backbone.model, mode is not None)

    def texts(self, definition: Definition, item_ids: Sequence[str]) -> list[Text]:
        """Returns the texts of a job's items, in the order asked.

        Raises:
            ItemsMissing: the pool, or some of the items, are not there any more.
            PoolStoreUnavailable: the pool cannot be read.
        """
        name = definition.pool
        try:
            pool = self._store.open(name)
            if pool.definition.incarnation != definition.incarnation:
                raise ItemsMissing(name, item_ids, len(item_ids))
            found = [
                item for start in range(0, len(item_ids), _TAKE) for item in pool.take(item_ids[start : start + _TAKE])
            ]
        except NoPool as error:
            raise ItemsMissing(name, item_ids, len(item_ids)) from error
        except PoolsAway as error:
            raise PoolStoreUnavailable(f"pool {name!r} cannot be read: {error}") from error
        missing = [item_id for item_id, item in zip(item_ids, found, strict=True) if item is None]
        if missing:
            raise ItemsMissing(name, missing, len(item_ids))
        return [Text(item.text, item.text_pair) for item in found if item is not None]
