#!lua flags=allow-oom
-- Deletes messages that peek.lua found, as far as they are still where it found them and nobody has received them since.
--
-- KEYS[1]  aizumi:{address}:queue    stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases   zset: entry:stamp, or entry:stamp:saddr if sent once → when its lease ends, ms; 0: ended
-- KEYS[3]  aizumi:{address}:held     zset: stamp:entry, or stamp:entry:saddr if sent once → message id
-- KEYS[4]  aizumi:{address}:delayed  zset: stamp:saddr:id:ttl:once;trace:payload of messages not yet due → when they are, ms
-- KEYS[5]  aizumi:{address}:backed   zset: entry, or entry:saddr if sent once, given back with a delay → when it is due, ms
-- KEYS[6]  aizumi:{address}:dead     stream: messages delivered too often
-- KEYS[7]  aizumi:{address}:seen     hash: saddr:id → sha1 of the payload:entry, of messages sent once that live
-- ARGV[1]  JSON: [[place, name], …] as peek.lua returns them
-- ARGV[2]  window in which a message sent once is remembered after its end, ms
-- Returns  how many were deleted, count
-- Errors   those of Redis only
local queue, leases, held, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local backed, dead, seen = KEYS[5], KEYS[6], KEYS[7]
local targets, window_ms = ARGV[1], tonumber(ARGV[2])

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

-- as in free.lua: its id is remembered for the window
local function remember(field)
  local bucket = math.floor(now_ms / window_ms)
  local ended, digest = seen .. ':' .. string.format('%d', bucket), redis.call('HGET', seen, field)
  if not digest then return end
  redis.call('HSET', ended, field, string.sub(digest, 1, 40))
  redis.call('PEXPIREAT', ended, string.format('%d', (bucket + 2) * window_ms))
end

local function delete_entry(entry)
  local message = redis.call('XRANGE', queue, entry, entry)[1]
  if not message then return 0 end
  local fields = message[2]
  local field = fields[7] == 'once' and fields[2] .. ':' .. fields[4]
  if field then remember(field) end
  -- the entry first: what is left of it elsewhere is void
  redis.call('XDEL', queue, entry)
  redis.call('XACK', queue, 'receivers', entry)
  if field then redis.call('HDEL', seen, field) end
  return 1
end

local drop = {}

function drop.leases(member)
  local ends = redis.call('ZSCORE', leases, member)
  if not ends or tonumber(ends) > now_ms then return 0 end
  local entry, stamp = string.sub(member, 1, 24), string.sub(member, 26, 41)
  redis.call('ZREM', held, stamp .. ':' .. entry .. string.sub(member, 42))
  redis.call('ZREM', leases, member)
  return delete_entry(entry)
end

function drop.backed(member)
  if redis.call('ZREM', backed, member) == 0 then return 0 end
  return delete_entry(string.sub(member, 1, 24))
end

function drop.queue(stream_id)
  -- an error, without [1], where somebody deleted the group by hand
  if redis.pcall('XPENDING', queue, 'receivers', stream_id, stream_id, 1)[1] then return 0 end
  return delete_entry(stream_id)
end

function drop.delayed(member)
  if not redis.call('ZSCORE', delayed, member) then return 0 end
  local saddr, id, once = string.match(member, '^%d+:(%d+):(%d+):%d*:(%d*);?[%x-]*:')
  if once ~= '' then remember(saddr .. ':' .. id) end
  redis.call('ZREM', delayed, member)
  if once ~= '' then redis.call('HDEL', seen, saddr .. ':' .. id) end
  return 1
end

function drop.dead(stream_id)
  return redis.call('XDEL', dead, stream_id)
end

local count = 0
for _, target in ipairs(cjson.decode(targets)) do count = count + drop[target[1]](target[2]) end
-- a stream that is empty would stay
if redis.call('XLEN', dead) == 0 then redis.call('DEL', dead) end
return count
