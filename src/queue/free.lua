#!lua flags=allow-oom
-- Ends a message's life: of those with this id that the receiver holds, the one delivered first.
-- It counts as held until somebody else gets it, even when its lease has ended.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases  zset: entry:stamp, or entry:stamp:saddr if sent once → when its lease ends, ms
-- KEYS[3]  aizumi:{address}:held    zset: stamp:entry, or stamp:entry:saddr if sent once → message id
-- KEYS[4]  aizumi:{address}:seen    hash: saddr:id → sha1 of the payload:entry, of messages sent once that live
-- ARGV[1]  message id, 0 … 2^53 − 1
-- ARGV[2]  window in which a message sent once is remembered after its end, ms
-- Returns  1 when it is gone, 0 when no such message is held
-- Errors   those of Redis only
local queue, leases, held, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, window_ms = ARGV[1], tonumber(ARGV[2])

local member = redis.call('ZRANGE', held, id, id, 'BYSCORE', 'LIMIT', '0', '1')[1]
if not member then return 0 end
local stamp, entry, saddr = string.sub(member, 1, 16), string.sub(member, 18, 41), string.sub(member, 43)
redis.call('ZREM', held, member)
redis.call('ZREM', leases, entry .. ':' .. stamp .. string.sub(member, 42))
redis.call('XACK', queue, 'receivers', entry)
redis.call('XDEL', queue, entry)
if saddr ~= '' then
  -- its id is remembered in the bucket of this window of time, which expires when the next window has passed too
  local time = redis.call('TIME')
  local bucket = math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / window_ms)
  local field, ended = saddr .. ':' .. id, seen .. ':' .. bucket
  local digest = redis.call('HGET', seen, field)
  if digest then
    redis.call('HSET', ended, field, string.sub(digest, 1, 40))
    redis.call('PEXPIREAT', ended, string.format('%d', (bucket + 2) * window_ms))
    redis.call('HDEL', seen, field)
  end
end
return 1
