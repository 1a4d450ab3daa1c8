"""The Redis scripts of the job store: each looks at a job's state and changes it in one step.

A job's hash has, besides `definition`, `state`, its times and its progress:
    holder     token of the attempt that may speak for the job; empty while it is queued
    cancel     1 once somebody asked a running job to stop
    attempts   times a worker has begun it
    fruitless  attempts since the last new checkpoint, without those whose worker was stopped in order
    ticketed   when it last was put into RQ's queue
"""

from __future__ import annotations

# Ends a job for good: the only place that writes a final state.
_END = """
local function finish(job, lease, open, id, state, result, now, changes)
  redis.call('HSET', job, 'state', state, 'result', result, 'ended', now)
  redis.call('DEL', lease)
  redis.call('SREM', open, id)
  redis.call('PUBLISH', changes, id)
  return state
end
"""

# What becomes of a job without a living attempt: cancelled when that was asked, failed when it keeps killing its
# workers, else queued again.
_REQUEUE = (
    _END
    + """
local function requeue(job, lease, open, id, limit, died, now, changes)
  if redis.call('HGET', job, 'cancel') == '1' then
    return finish(job, lease, open, id, 'cancelled', '{}', now, changes)
  end
  if tonumber(redis.call('HGET', job, 'fruitless') or '0') >= tonumber(limit) then
    return finish(job, lease, open, id, 'failed', died, now, changes)
  end
  redis.call('HSET', job, 'state', 'queued', 'holder', '', 'ticketed', '0')
  redis.call('DEL', lease)
  redis.call('PUBLISH', changes, id)
  return 'QUEUED'
end
"""
)

# KEYS job, all, project, open, request
# ARGV id, definition, creation time (s), the same (ms), request digest, seconds that a request id is kept (0 without
#      one), channel
# Returns "<job id> <request digest>" of the job that answers this request.
CREATE = """
if ARGV[6] ~= '0' then
  local first = redis.call('GET', KEYS[5])
  if first then return first end
end
local answer = ARGV[1] .. ' ' .. ARGV[5]
if redis.call('EXISTS', KEYS[1]) == 1 then return answer end
redis.call('HSET', KEYS[1], 'definition', ARGV[2], 'state', 'queued', 'ticketed', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
redis.call('SADD', KEYS[4], ARGV[1])
if ARGV[6] ~= '0' then redis.call('SET', KEYS[5], answer, 'EX', ARGV[6]) end
redis.call('PUBLISH', ARGV[7], ARGV[1])
return answer
"""

# KEYS job, lease, open
# ARGV id, token, lease (ms), now, limit of fruitless attempts, result of a job beyond it, channel
# Returns CLAIMED, HELD by a living attempt, or the state of a job that has ended.
CLAIM = (
    _REQUEUE
    + """
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'GONE' end
if state ~= 'queued' and state ~= 'running' then return state end
local lease = redis.call('GET', KEYS[2])
if lease == ARGV[2] then return 'CLAIMED' end
if lease then return 'HELD' end
local next = requeue(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[5], ARGV[6], ARGV[4], ARGV[7])
if next ~= 'QUEUED' then return next end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('HSET', KEYS[1], 'state', 'running', 'holder', ARGV[2], 'started', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('HINCRBY', KEYS[1], 'fruitless', 1)
redis.call('PUBLISH', ARGV[7], ARGV[1])
return 'CLAIMED'
"""
)

# KEYS job, lease, open
# ARGV id, token, lease (ms), 1 after a new checkpoint, channel, then fields of the progress with their values
# A lease that ran out is taken again as long as nobody else has begun the job: Redis may have been away.
RENEW = """
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 'LOST' end
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[2] then return 'LOST' end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 'fruitless', '0') end
if #ARGV > 5 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 6))
  redis.call('PUBLISH', ARGV[5], ARGV[1])
end
if redis.call('HGET', KEYS[1], 'cancel') == '1' then return 'CANCEL' end
return 'OK'
"""

# KEYS job, lease, open
# ARGV id, token, final state, result, now, channel
# A job that somebody asked to cancel ends as cancelled, whatever its attempt reached. The same end said twice is
# answered as the first time.
FINISH = (
    _END
    + """
local state = redis.call('HGET', KEYS[1], 'state')
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[2] then return 'LOST' end
if state ~= 'running' then return state end
if redis.call('HGET', KEYS[1], 'cancel') == '1' then
  return finish(KEYS[1], KEYS[2], KEYS[3], ARGV[1], 'cancelled', '{}', ARGV[5], ARGV[6])
end
return finish(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
"""
)

# KEYS job, lease, open
# ARGV id, token or its beginning, 1 when the worker died, limit of fruitless attempts, result of a job beyond it, now,
#      channel
# Returns QUEUED, LOST when the job was not this attempt's, or the final state that it came to.
GIVE_BACK = (
    _REQUEUE
    + """
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 'LOST' end
local holder = redis.call('HGET', KEYS[1], 'holder') or ''
if string.sub(holder, 1, #ARGV[2]) ~= ARGV[2] then return 'LOST' end
if ARGV[3] ~= '1' then redis.call('HINCRBY', KEYS[1], 'fruitless', -1) end
return requeue(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
"""
)

# KEYS job, lease, open
# ARGV id, limit of fruitless attempts, result of a job beyond it, now, channel
RECOVER = (
    _REQUEUE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[3], ARGV[1]) return 'GONE' end
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 'LEFT' end
if redis.call('EXISTS', KEYS[2]) == 1 then return 'LEFT' end
return requeue(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
"""
)

# KEYS job, lease, open
# ARGV id, now, channel
# A running job whose attempt is dead is cancelled at once, like a queued one.
CANCEL = (
    _END
    + """
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'GONE' end
if state ~= 'queued' and state ~= 'running' then return state end
if state == 'queued' or redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[1], 'holder', '')
  return finish(KEYS[1], KEYS[2], KEYS[3], ARGV[1], 'cancelled', '{}', ARGV[2], ARGV[3])
end
redis.call('HSET', KEYS[1], 'cancel', '1')
return state
"""
)

# KEYS job, lease, all, project
# ARGV id, channel
DELETE = """
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'GONE' end
if state == 'queued' or state == 'running' then return 'NOT_ENDED' end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 'DELETED'
"""

# KEYS job
# ARGV now
TICKETED = """
if redis.call('HGET', KEYS[1], 'state') == 'queued' then redis.call('HSET', KEYS[1], 'ticketed', ARGV[1]) end
return 'OK'
"""
