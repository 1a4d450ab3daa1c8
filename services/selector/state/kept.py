"""What a request id stands for: kept for a day, together with the effect of its request."""

from __future__ import annotations

import json

from services.selector.changes import KeptAnswer

KEPT_MS = 24 * 60 * 60 * 1_000
_DIGEST_LENGTH = 64
_FINISHED, _DECIDED = b"F", b"D"

# Functions for scripts. A value is the request's digest (64 hex digits), "F" and the answer's bytes, or "D" and the
# decision as JSON. Ids older than a day are removed a hundred at a time, whenever a new one is kept.
LUA = f"""
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function kept(requests, times, id, now)
  if id == '' then return false end
  local came = redis.call('ZSCORE', times, id)
  if not came or tonumber(came) <= now - {KEPT_MS} then return false end
  return redis.call('HGET', requests, id)
end
local function keep(requests, times, id, now, value)
  if id == '' then return end
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', times, '-inf', now - {KEPT_MS}, 'LIMIT', 0, 100)) do
    redis.call('ZREM', times, old)
    redis.call('HDEL', requests, old)
  end
  redis.call('HSET', requests, id, value)
  redis.call('ZADD', times, now, id)
end
"""


def kept_answer(value: bytes) -> KeptAnswer:
    """Returns what a stored value says."""
    digest, form, rest = value[:_DIGEST_LENGTH], value[_DIGEST_LENGTH : _DIGEST_LENGTH + 1], value[_DIGEST_LENGTH + 1 :]
    if form == _FINISHED:
        return KeptAnswer(digest.decode(), rest, {})
    return KeptAnswer(digest.decode(), None, json.loads(rest))
