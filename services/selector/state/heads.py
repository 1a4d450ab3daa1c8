"""Heads in Redis: the newest of each project, which every replica scores with."""

from __future__ import annotations

from typing import cast

from redis.asyncio import Redis

from services.selector.errors import ProjectNotFound
from services.selector.heads import Head, head_from_bytes, head_to_bytes
from services.selector.state.connection import reaching
from services.selector.state.keys import Keys
from services.selector.stores import StoredHead

_FIELDS = ["version", "label_version", "basis", "description", "tensors"]

_PUT = """
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return false end
local there = redis.call('HMGET', KEYS[2], 'version', 'label_version', 'basis')
local version = tonumber(there[1] or '0')
if version ~= tonumber(ARGV[2]) then return 0 end
if there[3] == ARGV[4] or tonumber(there[2] or '0') > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[2], 'version', version + 1, 'label_version', ARGV[3], 'basis', ARGV[4],
  'description', ARGV[5], 'tensors', ARGV[6])
return version + 1
"""


class RedisHeads:
    """The newest head of each project.

    Args:
        redis: the client.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put = redis.register_script(_PUT)

    async def newest(self, name: str) -> StoredHead | None:
        """Returns the newest head, bit for bit as it was stored; None when there is none. Raises StoreUnavailable."""
        with reaching():
            fields = cast(list[bytes | None], await self._redis.hmget(Keys(name).head, _FIELDS))
        if None in fields:
            return None
        version, label_version, basis, description, tensors = cast(list[bytes], fields)
        return StoredHead(
            version=int(version),
            label_version=int(label_version),
            basis=basis.decode(),
            head=head_from_bytes(tensors, description.decode()),
        )

    async def put(self, name: str, uid: str, base: int, label_version: int, basis: str, head: Head) -> int | None:
        """Stores a head, unless another one came first: versions only grow, and one basis has one head.

        Script: KEYS config, head. ARGV uid, the version it was fit from, label version, basis, description, tensors.
        Returns the new version, 0 when the head there is newer, of the same basis, or has seen newer labels.

        Raises:
            ProjectNotFound: the project is gone, or another one has its name.
            StoreUnavailable: Redis cannot be reached.
        """
        keys = Keys(name)
        tensors, description = head_to_bytes(head)
        with reaching():
            version = await self._put(
                keys=[keys.config, keys.head], args=[uid, base, label_version, basis, description, tensors]
            )
        if version is None:
            raise ProjectNotFound(name)
        return int(version) or None
