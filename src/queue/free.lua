#!lua flags=allow-oom
-- Ends a message's life: of those with this id that the receiver holds, the one delivered first.
-- It counts as held until somebody else gets it, even when its lease has ended.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases  zset: entry:stamp → when its lease ends, ms
-- KEYS[3]  aizumi:{address}:held    zset: stamp:entry → message id
-- ARGV[1]  message id, 0 … 2^53 − 1
-- Returns  1 when it is gone, 0 when no such message is held
-- Errors   those of Redis only
local queue, leases, held = KEYS[1], KEYS[2], KEYS[3]
local id = ARGV[1]

local member = redis.call('ZRANGE', held, id, id, 'BYSCORE', 'LIMIT', '0', '1')[1]
if not member then return 0 end
local stamp, entry = string.sub(member, 1, 16), string.sub(member, 18)
redis.call('ZREM', held, member)
redis.call('ZREM', leases, entry .. ':' .. stamp)
redis.call('XACK', queue, 'receivers', entry)
redis.call('XDEL', queue, entry)
return 1
