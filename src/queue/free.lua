#!lua flags=allow-oom
-- Ends the lives of messages that the receiver holds: for each id, of those with this id the one delivered first; or the
-- one delivery that a receipt names. It counts as held until somebody else gets it, even when its lease has ended.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases  zset: entry:stamp, or entry:stamp:saddr if sent once → when its lease ends, ms
-- KEYS[3]  aizumi:{address}:held    zset: stamp:entry, or stamp:entry:saddr if sent once → message id
-- KEYS[4]  aizumi:{address}:seen    hash: saddr:id → sha1 of the payload:entry, of messages sent once that live
-- ARGV[1]  message ids, 0 … 2^53 − 1, with spaces in between
-- ARGV[2]  receipt, a member of held; '': none
-- ARGV[3]  window in which a message sent once is remembered after its end, ms
-- Returns  the ids that are not held, a list; all others are gone
-- Errors   LEASE_LOST: the receipt is of no delivery of this id that is held; nothing was freed
local queue, leases, held, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ids, receipt, window_ms = ARGV[1], ARGV[2], ARGV[3]

local missing = {}
for id in string.gmatch(ids, '%d+') do
  local member
  if receipt == '' then
    member = redis.call('ZRANGE', held, id, id, 'BYSCORE', 'LIMIT', '0', '1')[1]
  else
    member = receipt
    if tonumber(redis.call('ZSCORE', held, receipt)) ~= tonumber(id) then
      return redis.error_reply('LEASE_LOST this delivery is not held')
    end
  end
  if not member then
    missing[#missing + 1] = id
  else
    local stamp, entry, saddr = string.sub(member, 1, 16), string.sub(member, 18, 41), string.sub(member, 43)
    local field = saddr ~= '' and saddr .. ':' .. id
    if field then
      -- its id is remembered in the bucket of this window of time, which expires when the next window has passed too
      local time = redis.call('TIME')
      local bucket = math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / window_ms)
      local key, digest = seen .. ':' .. bucket, redis.call('HGET', seen, field)
      if digest then
        redis.call('HSET', key, field, string.sub(digest, 1, 40))
        redis.call('PEXPIREAT', key, string.format('%d', (bucket + 2) * window_ms))
      end
    end
    -- the entry first: a script that stops half-way has freed the message, or left it held
    redis.call('XDEL', queue, entry)
    redis.call('XACK', queue, 'receivers', entry)
    redis.call('ZREM', held, member)
    redis.call('ZREM', leases, entry .. ':' .. stamp .. string.sub(member, 42))
    if field then redis.call('HDEL', seen, field) end
  end
end
return missing
