"""Stopping signals in Redis."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np
from redis.asyncio import Redis

from services.selector.errors import ProjectNotFound
from services.selector.state.connection import reaching
from services.selector.state.keys import Keys
from services.selector.stopping import StoppingSignals
from services.selector.stores import Anchor

# Older ones are of no use: stopping looks at the last few.
_KEPT = 1_000

_ADD = """
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return false end
local anchor = redis.call('HGET', KEYS[3], 'head_version')
if anchor and tonumber(anchor) >= tonumber(ARGV[2]) then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[3])
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[5]), -1)
redis.call('HSET', KEYS[3], 'head_version', ARGV[2], 'anchor', ARGV[4])
return 1
"""


class RedisSignals:
    """The stopping signals of each project, and the predictions that the next ones are compared with.

    Args:
        redis: the client.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._add = redis.register_script(_ADD)

    async def history(self, name: str) -> Sequence[StoppingSignals]:
        """Returns the signals of the last 1,000 compared heads, the oldest first. Raises StoreUnavailable."""
        with reaching():
            found = cast(list[bytes], await self._redis.lrange(Keys(name).signals, 0, -1))
        return [StoppingSignals(**json.loads(text)) for text in found]

    async def anchor(self, name: str) -> Anchor | None:
        """Returns what the last signals were measured on; None when there are none. Raises StoreUnavailable."""
        with reaching():
            text = cast(bytes | None, await self._redis.hget(Keys(name).anchor, "anchor"))
        if text is None:
            return None
        fields: dict[str, Any] = json.loads(text)
        return Anchor(
            labeled=fields["labeled"],
            rows=fields["rows"],
            incarnation=fields["incarnation"],
            labels=tuple(fields["labels"]),
            classes=np.frombuffer(base64.b64decode(fields["classes"]), "<i4").astype(np.int64),
        )

    async def add(self, name: str, uid: str, signals: StoppingSignals, anchor: Anchor) -> None:
        """Keeps signals, unless those of as new a head are there: another replica may have been first.

        Script: KEYS config, signals, anchor. ARGV uid, head version, signals, anchor, how many are kept.

        Raises:
            ProjectNotFound: the project is gone, or another one has its name.
            StoreUnavailable: Redis cannot be reached.
        """
        keys = Keys(name)
        classes = base64.b64encode(anchor.classes.astype("<i4").tobytes()).decode()
        text = json.dumps(
            {
                "labeled": anchor.labeled,
                "rows": anchor.rows,
                "incarnation": anchor.incarnation,
                "labels": anchor.labels,
                "classes": classes,
            },
            ensure_ascii=False,
        )
        with reaching():
            added = await self._add(
                keys=[keys.config, keys.signals, keys.anchor],
                args=[uid, signals.head_version, json.dumps(asdict(signals)), text, _KEPT],
            )
        if added is None:
            raise ProjectNotFound(name)
