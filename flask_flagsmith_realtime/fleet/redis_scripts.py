"""The scripts that a fleet has Redis run, one after the other: what is compared and then written
cannot be made old by another process meanwhile.

``KEYS[1]`` is the hash with the flags, ``KEYS[2]`` the leader's lock; see :mod:`.redis_store`.
Where a process has to be told from others, ``ARGV[1]`` is its token.
"""

from __future__ import annotations

#: Who leads? Takes the lock if it is free. It is written in any case: a Redis that is full or
#: read-only shall be noticed by all. A lock that somebody has made last for ever, or for long, gets
#: an end again. Who leads says how it is supplied; that this fails shall not leave a lock behind of
#: which nobody knows.
BEAT = """
local holder = redis.call('GET', KEYS[2]) or ARGV[1]
local left = redis.call('PTTL', KEYS[2])
if holder == ARGV[1] or left < 0 or left > tonumber(ARGV[2]) then
    redis.call('SET', KEYS[2], holder, 'PX', ARGV[2])
else
    redis.call('SET', KEYS[2], holder, 'KEEPTTL')
end
if holder == ARGV[1] then
    redis.pcall('HSET', KEYS[1], 'report', ARGV[3])
    redis.pcall('EXPIRE', KEYS[1], ARGV[4])
end
local marks = redis.call('HMGET', KEYS[1], 'version', 'told', 'fetched_at', 'report')
return {holder == ARGV[1] and 1 or 0, redis.call('PTTL', KEYS[2]), unpack(marks, 1, 4)}
"""

#: What lies in Redis; only its version if it is larger than ``ARGV[1]`` bytes.
READ = """
if redis.call('HSTRLEN', KEYS[1], 'data') > tonumber(ARGV[1]) then
    return redis.call('HMGET', KEYS[1], 'version')
end
return redis.call('HMGET', KEYS[1], 'version', 'fetched_at', 'replaced', 'data')
"""

#: Removes what lies in Redis if it is still the version ``ARGV[1]``.
DISCARD = """
if redis.call('HMGET', KEYS[1], 'version')[1] == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

# A newer epoch is never replaced by an older one. Of two contents of one epoch, and where an answer
# has no epoch, the leader's counts.
_MAY_STORE = """
local there = redis.call('HMGET', KEYS[1], 'version', 'epoch', 'content', 'replaced')
local leads = redis.call('GET', KEYS[2]) == ARGV[1]
local new, old, replaced = tonumber(ARGV[4]), tonumber(there[2]), tonumber(there[4])
if there[1] then
    if there[2] == ARGV[4] and there[3] == ARGV[6] then
        redis.call('HSET', KEYS[1], 'fetched_at', ARGV[5])
        redis.call('EXPIRE', KEYS[1], ARGV[8])
        return there[1]
    end
    if new and old and new ~= old then
        if new < old then return false end
        if replaced and new <= replaced and not leads then return false end
    elseif not leads then
        return false
    end
end
if not (replaced and new and new < replaced) then replaced = nil end
"""

# The API has kept serving an older state: the leader, and nobody who only believes to be it, puts
# it in place of the newer one.
_MAY_REPLACE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return false end
local replaced = tonumber(ARGV[9])
"""

_WRITE = """
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'epoch', ARGV[4], 'fetched_at', ARGV[5],
    'content', ARGV[6], 'data', ARGV[7],
    'replaced', replaced and string.format('%.17g', replaced) or '')
redis.call('EXPIRE', KEYS[1], ARGV[8])
redis.call('PUBLISH', ARGV[2], 'stored ' .. ARGV[3])
return ARGV[3]
"""

#: Leaves a note for the leader, and calls it.
TELL = """
redis.call('HSET', KEYS[1], 'told', ARGV[2])
redis.call('PUBLISH', ARGV[1], 'told')
"""

#: Gives the lock back, if the process has it, and tells the others.
RELEASE = """
if redis.call('GET', KEYS[2]) == ARGV[1] then
    redis.call('DEL', KEYS[2])
    redis.call('PUBLISH', ARGV[2], 'free')
end
"""

#: Stores flags and tells the others. Gives the version that lies in Redis then, or nothing.
STORE = _MAY_STORE + _WRITE

#: The same, in place of flags of a newer epoch, ``ARGV[9]``.
REPLACE = _MAY_REPLACE + _WRITE
