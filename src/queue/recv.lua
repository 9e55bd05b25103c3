#!lua flags=allow-oom
-- Takes the next message of a queue under a lease: first one whose lease has ended, in the queue's order, then a new one.
-- A message that was delivered ARGV[2] times already goes to the dead stream instead.
-- allow-oom: receiving and freeing is how a full Redis gets empty again.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases  zset: entry:stamp, or entry:stamp:saddr if sent once → when its lease ends, ms; 0: ended
-- KEYS[3]  aizumi:{address}:held    zset: stamp:entry, or stamp:entry:saddr if sent once → message id
-- KEYS[4]  aizumi:{address}:dead    stream: messages delivered too often
-- KEYS[5]  aizumi:{address}:seen    hash: saddr:id → sha1 of the payload:entry, of messages sent once that live
-- ARGV[1]  visibility timeout, ms
-- ARGV[2]  most deliveries of one message, count
-- ARGV[3]  window in which a message sent once is remembered after its end, ms
-- Returns  {saddr, id, payload}, strings as SEND stored them; nil when nothing waits
-- Errors   those of Redis only
--
-- entry is the stream id with its sequence padded to 10 digits, so that text sorts as the queue does (to Redis it is the
-- same id); stamp is the time of the delivery, µs, 16 digits. leases sorts by age of message, held by time of delivery.
local queue, leases, held, dead, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local visibility_timeout_ms, max_deliveries, window_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

-- numbers go to Redis as text: as Lua numbers they would be printed as floating point, a tenth of this script's cost
local time = redis.call('TIME')
local micros = string.sub('00000' .. time[2], -6)
local stamp = time[1] .. micros
local now_ms = time[1] .. string.sub(micros, 1, 3)

local function once(fields)
  if fields[7] == 'once' then return ':' .. fields[2] end
  return ''
end

local function lease(stream_id, fields)
  local entry = string.sub(stream_id, 1, 14) .. string.sub('000000000' .. string.sub(stream_id, 15), -10)
  redis.call('ZADD', leases, string.format('%d', now_ms + visibility_timeout_ms), entry .. ':' .. stamp .. once(fields))
  redis.call('ZADD', held, fields[4], stamp .. ':' .. entry .. once(fields))
  return { fields[2], fields[4], fields[6] }
end

local function bury(stream_id, fields, deliveries)
  redis.call('XADD', dead, '*', 'saddr', fields[2], 'id', fields[4], 'payload', fields[6],
    'cause', 'max_deliveries', 'deliveries', deliveries, 'entry', stream_id, 'died_at_ms', now_ms)
  redis.call('XACK', queue, 'receivers', stream_id)
  redis.call('XDEL', queue, stream_id)
  if once(fields) ~= '' then
    -- as in free.lua: its id is remembered for the window
    local field, bucket = fields[2] .. ':' .. fields[4], math.floor(now_ms / window_ms)
    local ended = seen .. ':' .. bucket
    redis.call('HSET', ended, field, redis.sha1hex(fields[6]))
    redis.call('PEXPIREAT', ended, string.format('%d', (bucket + 2) * window_ms))
    redis.call('HDEL', seen, field)
  end
end

-- score 0 puts all whose lease has ended into one run, sorted by their members: the order of the queue
local function end_leases()
  local ended = redis.call('ZRANGE', leases, '(0', now_ms, 'BYSCORE', 'LIMIT', 0, 1000)
  for _, member in ipairs(ended) do redis.call('ZADD', leases, 0, member) end
end

local function redeliver()
  if redis.call('EXISTS', queue) == 0 then
    -- the stream was deleted by hand: what was known of its messages is void
    redis.call('DEL', leases, held)
    return nil
  end
  end_leases()
  for _ = 1, 1000 do
    local member = redis.call('ZRANGE', leases, 0, 0, 'BYSCORE', 'LIMIT', 0, 1)[1]
    if not member then return nil end
    local entry, old_stamp, suffix = string.sub(member, 1, 24), string.sub(member, 26, 41), string.sub(member, 42)
    redis.call('ZREM', leases, member)
    redis.call('ZREM', held, old_stamp .. ':' .. entry .. suffix)
    local pending = redis.call('XPENDING', queue, 'receivers', entry, entry, 1)[1]
    local claimed = redis.call('XCLAIM', queue, 'receivers', 'aizumi', 0, entry)[1]
    -- claimed is missing when somebody deleted the entry from the stream by hand
    if claimed then
      if pending[4] < max_deliveries then return lease(claimed[1], claimed[2]) end
      bury(claimed[1], claimed[2], pending[4])
    end
  end
end

local function deliver()
  local reply = redis.pcall('XREADGROUP', 'GROUP', 'receivers', 'aizumi', 'COUNT', '1', 'STREAMS', queue, '>')
  if not reply then return nil end
  if reply.err then
    -- no such queue: nothing waits. A stream without its group was made by hand or restored from one: give it one.
    if string.sub(reply.err, 1, 7) ~= 'NOGROUP' then return reply end
    if redis.call('EXISTS', queue) == 0 then return nil end
    redis.call('XGROUP', 'CREATE', queue, 'receivers', 0)
    return deliver()
  end
  local message = reply[1][2][1]
  return lease(message[1], message[2])
end

if redis.call('ZRANGE', leases, '0', now_ms, 'BYSCORE', 'LIMIT', '0', '1')[1] then
  local message = redeliver()
  if message then return message end
end
return deliver()
