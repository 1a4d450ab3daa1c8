"""Handing items to one annotator at a time."""

from __future__ import annotations

import json

from redis.asyncio import Redis

from services.selector.changes import KeptAnswer
from services.selector.errors import ProjectNotFound
from services.selector.state.connection import reaching
from services.selector.state.kept import LUA, kept_answer
from services.selector.state.keys import Keys
from services.selector.stores import Proposal

_RESERVE = (
    LUA
    + """
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return false end
local now = now_ms()
local before = kept(KEYS[6], KEYS[7], ARGV[8], now)
if before then return {'', before} end

local annotator, k, ttl = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
for _, item in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', KEYS[3], item)
  redis.call('HDEL', KEYS[4], item)
end
local candidates, per_candidate = cjson.decode(ARGV[6]), cjson.decode(ARGV[7])
local items, positions, each = {}, {}, {}
for position, item in ipairs(candidates) do
  if #items == k then break end
  local until_ms = redis.call('ZSCORE', KEYS[3], item)
  local held = until_ms and tonumber(until_ms) > now and redis.call('HGET', KEYS[4], item) ~= annotator
  if not held and redis.call('HEXISTS', KEYS[2], item) == 0 then
    items[#items + 1] = item
    positions[#positions + 1] = position - 1
    each[#each + 1] = per_candidate[position]
  end
end
if #items < k and ARGV[5] == '0' then return {'', false} end

local ends = '0'
if ttl > 0 then
  ends = string.format('%.0f', now + ttl)
  for _, item in ipairs(items) do
    redis.call('ZADD', KEYS[3], ends, item)
    redis.call('HSET', KEYS[4], item, annotator)
  end
end
local said = #items > 0 and cjson.encode(items) or '[]'
local record = {'items', said, 'annotator', annotator, 'until', ends, 'time', string.format('%.0f', now)}
for _, value in ipairs(cjson.decode(ARGV[11])) do record[#record + 1] = value end
redis.call('XADD', KEYS[5], '*', unpack(record))
if ARGV[8] ~= '' then
  local taken = #each > 0 and cjson.encode(each) or '[]'
  keep(KEYS[6], KEYS[7], ARGV[8], now,
    ARGV[9] .. 'D{"items":' .. said .. ',"each":' .. taken .. ',"rest":' .. ARGV[10] .. '}')
end
return {#positions > 0 and cjson.encode(positions) or '[]', false}
"""
)

_FINISH = """
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return false end
local there = redis.call('HGET', KEYS[2], ARGV[2])
local state = there and string.sub(there, 1, 65)
if state == ARGV[3] .. 'F' then return string.sub(there, 66) end
if state == ARGV[3] .. 'D' then redis.call('HSET', KEYS[2], ARGV[2], ARGV[3] .. 'F' .. ARGV[4]) end
return ARGV[4]
"""


class RedisReservations:
    """Who holds which items, and what was handed out.

    Args:
        redis: the client.
    """

    def __init__(self, redis: Redis) -> None:
        self._reserve = redis.register_script(_RESERVE)
        self._finish = redis.register_script(_FINISH)

    async def reserve(self, name: str, uid: str, proposal: Proposal) -> list[int] | KeptAnswer | None:
        """Takes the first k candidates that nobody else holds and that are neither labeled nor skipped.

        In one step with the record of the selection and what the request id stands for. Items the annotator holds
        already are taken again, and held for longer. Time is Redis' own.

        Script: KEYS config, labels, reservations, reservation_holders, selections, requests, request_times. ARGV uid,
        annotator, k, milliseconds, whether there are no other candidates, candidates as JSON, what the answer needs of
        each as JSON, request id, digest, the rest of the answer as JSON, record as a flat JSON list. Returns the
        positions as JSON, or what the request id stands for already, or neither.

        Returns:
            Positions into `candidates`, ascending; or what the request id stands for; or None, and nothing done, when
            fewer than k are free and there are other candidates.

        Raises:
            ProjectNotFound: the project is gone, or another one has its name.
            StoreUnavailable: Redis cannot be reached; whether the items are reserved is not known.
        """
        keys = Keys(name)
        with reaching():
            answer = await self._reserve(
                keys=[
                    keys.config,
                    keys.labels,
                    keys.reservations,
                    keys.holders,
                    keys.selections,
                    keys.requests,
                    keys.request_times,
                ],
                args=[
                    uid,
                    proposal.annotator,
                    proposal.k,
                    proposal.reservation_ms,
                    int(proposal.all_candidates),
                    json.dumps(proposal.candidates, ensure_ascii=False),
                    json.dumps(proposal.per_candidate),
                    proposal.request_id,
                    proposal.digest,
                    json.dumps(proposal.decision, ensure_ascii=False),
                    json.dumps([word for field in proposal.record.items() for word in field], ensure_ascii=False),
                ],
            )
        if answer is None:
            raise ProjectNotFound(name)
        if answer[1]:
            return kept_answer(answer[1])
        return json.loads(answer[0]) if answer[0] else None

    async def finish(self, name: str, uid: str, request_id: str, digest: str, answer: bytes) -> bytes:
        """Keeps the answer of a decided request, unless one is kept, and returns the one that is: the first.

        An answer leaves the server only after this, so a repetition gets the same bytes.

        Script: KEYS config, requests. ARGV uid, request id, digest, answer. Returns the answer that is kept.

        Raises:
            ProjectNotFound: the project is gone, or another one has its name.
            StoreUnavailable: Redis cannot be reached.
        """
        keys = Keys(name)
        with reaching():
            kept: bytes | None = await self._finish(
                keys=[keys.config, keys.requests], args=[uid, request_id, digest, answer]
            )
        if kept is None:
            raise ProjectNotFound(name)
        return kept
