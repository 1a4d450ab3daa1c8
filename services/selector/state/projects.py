"""Projects in Redis: their settings, their index, their counts."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import Redis

from services.selector.errors import ProjectExists, ProjectNotFound
from services.selector.project import Project, ProjectStatus
from services.selector.state.coding import definition_to_json, project_from_json, project_to_json
from services.selector.state.connection import reaching
from services.selector.state.keys import INDEX, Keys
from services.selector.stores import ProjectChange

# An index entry without its project is left by a CreateProject that died half-way, or belongs to one under way.
_ABANDONED_MS = 60 * 60 * 1_000

_CREATE = """
local there = redis.call('HMGET', KEYS[1], 'definition', 'settings')
if there[1] then return {0, there[1], there[2]} end
redis.call('HSET', KEYS[1], 'uid', ARGV[1], 'definition', ARGV[2], 'settings', ARGV[3],
  'settings_version', 1, 'label_version', 0)
return {1, ARGV[2], ARGV[3]}
"""

_UPDATE = """
if redis.call('HGET', KEYS[1], 'settings_version') ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'settings', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'settings_version', 1)
return 1
"""

_DELETE = """
local uid = redis.call('HGET', KEYS[1], 'uid')
redis.call('UNLINK', unpack(KEYS))
return uid
"""

_STATUS = """
local config = redis.call('HMGET', KEYS[1], 'settings', 'label_version')
if not config[1] then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = redis.call('HMGET', KEYS[4], 'version', 'label_version')
return cjson.encode({
  settings = config[1], label_version = config[2], counts = redis.call('HGETALL', KEYS[2]),
  reserved = redis.call('ZCOUNT', KEYS[3], '(' .. string.format('%.0f', now), '+inf'),
  head_version = head[1] or '0', head_label_version = head[2] or '0'})
"""


class RedisProjects:
    """Projects and their index.

    The index is one key of all projects, in another slot of a Redis Cluster than the projects themselves, so the two
    cannot change in one step. An entry names the project's uid too, which is new for each CreateProject: it enters the
    index before the project exists and leaves it after the project is gone, and an entry counts only while a project
    of that uid exists. So a crash in between leaves nothing half: at worst an entry that is never shown, which
    a listing removes when it is an hour old.

    Args:
        redis: the client.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._create = redis.register_script(_CREATE)
        self._update = redis.register_script(_UPDATE)
        self._delete = redis.register_script(_DELETE)
        self._status = redis.register_script(_STATUS)

    async def create(self, project: Project) -> Project:
        """Creates a project, or returns the one of the same definition.

        Script: KEYS config. ARGV uid, definition, settings. Returns whether it was created, and what is there.

        Raises:
            ProjectExists: there is one of another definition.
            StoreUnavailable: Redis cannot be reached.
        """
        uid = f"{time.time_ns() // 1_000_000}-{uuid.uuid4().hex}"
        entry = _entry(project.name, uid)
        definition = definition_to_json(project)
        with reaching():
            await self._redis.zadd(INDEX, {entry: 0})
            created, there, settings = await self._create(
                keys=[Keys(project.name).config], args=[uid, definition, project_to_json(project)]
            )
            if not created:
                await self._redis.zrem(INDEX, entry)
        found = project_from_json(settings)
        # Repeating the first call is safe after an UpdateProject too; so is asking for what the project has become.
        if definition not in (there.decode(), definition_to_json(found)):
            raise ProjectExists(project.name)
        return found

    async def get_all(self, names: Sequence[str]) -> list[Project]:
        """Returns projects by name, in that order, without those that are gone. Raises StoreUnavailable."""
        with reaching():
            found = await self._fields(names, "settings")
        return [project_from_json(settings) for settings in found if settings is not None]

    async def names(self, after: str, count: int) -> list[str]:
        """Returns up to `count` names that follow `after`, in order. Raises StoreUnavailable."""
        found: list[str] = []
        # NUL is lower and 0x01 higher than what ends a name in an entry, and both are lower than what a name may hold.
        start: bytes = b"(" + after.encode() + b"\x01" if after else b"-"
        while len(found) < count:
            with reaching():
                entries = cast(list[bytes], await self._redis.zrangebylex(INDEX, start, b"+", start=0, num=count))
                uids = await self._fields([entry.partition(b"\0")[0].decode() for entry in entries], "uid")
            for entry, uid in zip(entries, uids, strict=True):
                name, _, wanted = entry.partition(b"\0")
                if uid == wanted:
                    found.append(name.decode())
                elif _made_ms(wanted) < time.time_ns() // 1_000_000 - _ABANDONED_MS:
                    with reaching():
                        await self._redis.zrem(INDEX, entry)
            if len(entries) < count:
                break
            start = b"(" + entries[-1]
        return found[:count]

    async def update(self, name: str, change: ProjectChange) -> Project:
        """Changes settings, whatever they are at that moment.

        Script: KEYS config. ARGV the settings' version the change was made from, uid, settings. Returns 1 if it was
        still that version. Another change in between is followed by another try.

        Raises:
            ProjectNotFound: there is no such project.
            StoreUnavailable: Redis cannot be reached.
        """
        key = Keys(name).config
        while True:
            with reaching():
                version, uid, settings = cast(
                    list[bytes | None], await self._redis.hmget(key, ["settings_version", "uid", "settings"])
                )
                if settings is None or version is None or uid is None:
                    raise ProjectNotFound(name)
                project = project_from_json(settings)
                changed = change(project)
                if changed == project or await self._update(keys=[key], args=[version, uid, project_to_json(changed)]):
                    return changed

    async def delete(self, name: str) -> bool:
        """Deletes a project with all its keys.

        Script: KEYS all of the project's. Returns the uid, nil when there was none. Its index entry goes after it.

        Raises:
            StoreUnavailable: Redis cannot be reached.
        """
        with reaching():
            uid = await self._delete(keys=Keys(name).all())
            if uid is None:
                return False
            await self._redis.zrem(INDEX, _entry(name, uid.decode()))
        return True

    async def status(self, name: str) -> tuple[Project, ProjectStatus]:
        """Returns settings and counts of one moment.

        Script: KEYS config, counts, reservations, head. Returns JSON.

        Raises:
            ProjectNotFound: there is no such project.
            StoreUnavailable: Redis cannot be reached.
        """
        keys = Keys(name)
        with reaching():
            answer = await self._status(keys=[keys.config, keys.counts, keys.reservations, keys.head])
        if answer is None:
            raise ProjectNotFound(name)
        fields: dict[str, Any] = json.loads(answer)
        project = project_from_json(fields["settings"])
        flat = list(fields["counts"])
        counts = {name: int(count) for name, count in zip(flat[::2], flat[1::2], strict=True)}
        return project, ProjectStatus(
            labeled=counts.get("labeled", 0),
            skipped=counts.get("skipped", 0),
            reserved=int(fields["reserved"]),
            labeled_per_label=tuple(counts.get(f"label:{label}", 0) for label in project.labels),
            label_version=int(fields["label_version"]),
            head_version=int(fields["head_version"]),
            head_label_version=int(fields["head_label_version"]),
        )

    async def ping(self) -> None:
        """Returns when Redis answers. Raises StoreUnavailable."""
        with reaching():
            await self._redis.ping()

    async def _fields(self, names: Sequence[str], field: str) -> list[bytes | None]:
        if not names:
            return []
        async with self._redis.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hget(Keys(name).config, field)
            found: list[bytes | None] = await pipeline.execute()
            return found


def _entry(name: str, uid: str) -> str:
    return f"{name}\0{uid}"


def _made_ms(uid: bytes) -> int:
    return int(uid.partition(b"-")[0])
