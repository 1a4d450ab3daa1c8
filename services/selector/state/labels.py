"""Recording what people said about items."""

from __future__ import annotations

import json
from collections.abc import Sequence

from redis.asyncio import Redis

from services.selector.changes import KeptAnswer
from services.selector.errors import ProjectNotFound
from services.selector.project import Entry, Recorded
from services.selector.state.coding import entry_fields
from services.selector.state.connection import reaching
from services.selector.state.kept import LUA, kept_answer
from services.selector.state.keys import Keys

_RECORD = (
    LUA
    + """
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return false end
local now = now_ms()
local before = kept(KEYS[8], KEYS[9], ARGV[4], now)
if before then return {'', before} end

local version = tonumber(redis.call('HGET', KEYS[1], 'label_version')) + 1
local time = string.format('%.0f', now)
local changed, unchanged, released = 0, 0, {}
-- A record is the JSON text [label or null, annotator, milliseconds].
local function count(label, by)
  redis.call('HINCRBY', KEYS[3], label and 'labeled' or 'skipped', by)
  if label then redis.call('HINCRBY', KEYS[3], 'label:' .. label, by) end
end
for _, entry in ipairs(cjson.decode(ARGV[3])) do
  local item, action, label = entry[1], entry[2], entry[3]
  local found = redis.call('HGET', KEYS[2], item)
  local old = found and cjson.decode(found)[1]
  if old == cjson.null then old = false end
  local wanted = action == 'label' and label
  local same
  if action == 'clear' then same = not found else same = found and old == wanted end
  if same then
    unchanged = unchanged + 1
  else
    changed = changed + 1
    if found then count(old, -1) end
    if action == 'clear' then
      redis.call('HDEL', KEYS[2], item)
    else
      count(wanted, 1)
      local said = wanted and cjson.encode(wanted) or 'null'
      redis.call('HSET', KEYS[2], item, '[' .. said .. ',' .. cjson.encode(ARGV[2]) .. ',' .. time .. ']')
    end
    redis.call('XADD', KEYS[4], '*', 'item', item, 'action', action, 'label', label, 'annotator', ARGV[2],
      'time', time, 'version', version)
  end
  if redis.call('ZREM', KEYS[5], item) == 1 then
    redis.call('HDEL', KEYS[6], item)
    released[#released + 1] = item
  end
end
if changed > 0 then redis.call('HSET', KEYS[1], 'label_version', version) else version = version - 1 end
if #released > 0 then redis.call('XADD', KEYS[7], '*', 'released', cjson.encode(released), 'time', time) end

local labeled = tonumber(redis.call('HGET', KEYS[3], 'labeled') or '0')
local answer = cjson.encode({changed = changed, unchanged = unchanged, label_version = version, labeled = labeled})
keep(KEYS[8], KEYS[9], ARGV[4], now, ARGV[5] .. 'D' .. answer)
return {answer, false}
"""
)


class RedisLabels:
    """What people said, with its log and counts.

    Args:
        redis: the client.
    """

    def __init__(self, redis: Redis) -> None:
        self._record = redis.register_script(_RECORD)

    async def record(
        self, name: str, uid: str, entries: Sequence[Entry], annotator: str, request_id: str, digest: str
    ) -> Recorded | KeptAnswer:
        """Records entries, all or none, frees their reservations, and keeps the answer under the request id.

        Script: KEYS config, labels, counts, label_log, reservations, reservation_holders, selections, requests,
        request_times. ARGV uid, annotator, entries as JSON [[item, action, label], …], request id, digest. Returns the
        answer as JSON, or what the request id stands for already.

        Raises:
            ProjectNotFound: the project is gone, or another one has its name.
            StoreUnavailable: Redis cannot be reached; whether the entries are recorded is not known.
        """
        keys = Keys(name)
        said = json.dumps([entry_fields(entry) for entry in entries], ensure_ascii=False)
        with reaching():
            answer = await self._record(
                keys=[
                    keys.config,
                    keys.labels,
                    keys.counts,
                    keys.label_log,
                    keys.reservations,
                    keys.holders,
                    keys.selections,
                    keys.requests,
                    keys.request_times,
                ],
                args=[uid, annotator, said, request_id, digest],
            )
        if answer is None:
            raise ProjectNotFound(name)
        if answer[1]:
            return kept_answer(answer[1])
        return Recorded(**json.loads(answer[0]))
