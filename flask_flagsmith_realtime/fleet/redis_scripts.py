"""The Lua scripts that compare and write the flags of a fleet. Redis runs each as one step. The
script of the heartbeat is in :mod:`.election`.

``KEYS[1]`` is the hash with the flags, ``KEYS[2]`` the leader's lock; see :mod:`.redis_store`.
Where a script has to know the process, ``ARGV[1]`` is its token.
"""

from __future__ import annotations

#: Reads the shared flags; only their version if they are larger than ``ARGV[1]`` bytes, and no data
#: if their content begins with ``ARGV[2]``, the digest of the flags that the process holds.
READ = """
local marks = redis.call('HMGET', KEYS[1], 'version', 'epoch', 'fetched_at', 'replaced', 'content')
if marks[1] and ARGV[2] ~= '' and string.sub(marks[5] or '', 1, #ARGV[2]) == ARGV[2] then
    return {marks[1], marks[2], marks[3], marks[4], '', marks[5]}
end
if redis.call('HSTRLEN', KEYS[1], 'data') > tonumber(ARGV[1]) then
    return redis.call('HMGET', KEYS[1], 'version')
end
return redis.call('HMGET', KEYS[1], 'version', 'epoch', 'fetched_at', 'replaced', 'data')
"""

#: Removes the shared flags if they are still the version ``ARGV[1]``.
DISCARD = """
if redis.call('HMGET', KEYS[1], 'version')[1] == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

#: Notes a fetch that brought the shared flags again, of the epoch ``ARGV[1]`` and the content
#: ``ARGV[2]``. Returns their version; nothing if other flags are shared.
CONFIRM = """
local there = redis.call('HMGET', KEYS[1], 'version', 'epoch', 'content')
if not there[1] or there[2] ~= ARGV[1] or there[3] ~= ARGV[2] then return false end
redis.call('HSET', KEYS[1], 'fetched_at', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return there[1]
"""

#: Stores flags and notifies the others. Returns the version that is shared then, or nothing. An
#: older epoch replaces a newer one only if it comes from the leader, because the API has kept
#: serving it, and ``ARGV[9]`` is the newer one. Of two contents of one epoch, and where an answer
#: has no epoch, the leader's counts.
STORE = """
local there = redis.call('HMGET', KEYS[1], 'version', 'epoch', 'replaced')
local leads = redis.call('GET', KEYS[2]) == ARGV[1]
local new, old, replaced = tonumber(ARGV[4]), tonumber(there[2]), tonumber(there[3])
if ARGV[9] ~= '' then
    if not leads then return false end
    replaced = tonumber(ARGV[9])
elseif there[1] then
    if new and old and new ~= old then
        if new < old then return false end
        if replaced and new <= replaced and not leads then return false end
    elseif not leads then
        return false
    end
end
if not (replaced and new and new < replaced) then replaced = nil end
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'epoch', ARGV[4], 'fetched_at', ARGV[5],
    'content', ARGV[6], 'data', ARGV[7],
    'replaced', replaced and string.format('%.17g', replaced) or '')
redis.call('EXPIRE', KEYS[1], ARGV[8])
redis.call('PUBLISH', ARGV[2], 'stored ' .. ARGV[3])
return ARGV[3]
"""

#: Leaves the note of a webhook for the leader, and notifies it.
LEAVE_NOTE = """
redis.call('HSET', KEYS[1], 'note', ARGV[2])
redis.call('PUBLISH', ARGV[1], 'note')
"""

#: Releases the lock, if the process holds it, and notifies the others.
RELEASE = """
if redis.call('GET', KEYS[2]) == ARGV[1] then
    redis.call('DEL', KEYS[2])
    redis.call('PUBLISH', ARGV[2], 'free')
end
"""
