#!lua
-- Adds a message where the plain XADD of send.ts does not do: the queue is new, may be full, or the message is not due yet.
--
-- KEYS[1]  aizumi:{address}:queue     stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:delayed   zset: stamp:saddr:id:ttl:once;trace:payload of messages not yet due → when they are, ms
-- KEYS[3]  aizumi:{address}:settings  hash: max_queue_length, max_queue_bytes, those that this queue has of its own
-- KEYS[4]  aizumi:{address}:counts    hash: delayed_bytes, delayed_count → what so many members of `delayed` take
-- ARGV[1]  most messages the queue may hold, where it has no lower limit of its own, count
-- ARGV[2]  saddr
-- ARGV[3]  message id
-- ARGV[4]  payload, JSON text
-- ARGV[5]  delay, ms; 0: none
-- ARGV[6]  time to live, ms; '': no end
-- ARGV[7]  traceparent; '': none
-- ARGV[8]  most bytes the queue may take, where it has no lower limit of its own
-- ARGV[9]  bytes that the queue takes, as far as is known
-- ARGV[10]  bytes that the message will take
-- ARGV[11]  1: the client may make a queue; 0: it has as many as it may
-- Returns  {the queue's length with the message, the most it may be}, counts; 1 if the queue is new, 0 if not; 1 if the ids of
--          its entries are ahead of the clock, 0 if not, -1: unknown; the most bytes it may take
-- Errors   QUEUE_FULL, QUEUE_BYTES, CLIENT_QUEUES: nothing was added
local queue, delayed, settings, counts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local max_length, saddr, id, payload, delay_ms, ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local trace, max_bytes, known_bytes, more_bytes, may_make = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]

-- What a member of `delayed` takes: its text in the steps in which jemalloc gives memory, and what the sorted set needs for it.
local function weigh(member)
  local _, exponent = math.frexp(#member + 4)
  local step = math.max(16, 2 ^ (exponent - 3))
  return math.ceil((#member + 5) / step) * step + 94
end

local own = redis.call('HMGET', settings, 'max_queue_length', 'max_queue_bytes')
max_length, max_bytes = math.min(max_length, own[1] or max_length), math.min(max_bytes, own[2] or max_bytes)
local entries = redis.call('XLEN', queue)
local not_due = redis.call('ZCARD', delayed)
local length = entries + not_due
if length >= max_length then return redis.error_reply('QUEUE_FULL the queue holds ' .. length .. ' messages') end
local is_new = entries == 0 and redis.call('EXISTS', queue) == 0 and 1 or 0
if is_new == 1 and may_make == '0' then
  return redis.error_reply('CLIENT_QUEUES the client has made as many as it may')
end
if known_bytes + more_bytes > max_bytes then
  return redis.error_reply('QUEUE_BYTES ' .. string.format('%.0f of %.0f', known_bytes, max_bytes))
end
if is_new == 1 then
  redis.call('XGROUP', 'CREATE', queue, 'receivers', 0, 'MKSTREAM')
end
local time, is_ahead = redis.call('TIME'), -1
local stamp = time[1] * 1000000 + time[2]
if delay_ms == 0 then
  local options, now_ms = {}, string.format('%d', math.floor(stamp / 1000))
  if ttl_ms ~= '' then options = { 'ttl', ttl_ms } end
  if trace ~= '' then options = { 'trace', trace, unpack(options) } end
  -- refused where the clock was set back, and the last entry's id is ahead of it: then the id cannot say when it was sent
  local added = redis.pcall('XADD', queue, now_ms .. '-*', 'saddr', saddr, 'id', id, 'payload', payload, unpack(options))
  is_ahead = type(added) == 'table' and 1 or 0
  if is_ahead == 1 then
    options = { 'sent', now_ms, unpack(options) }
    redis.call('XADD', queue, '*', 'saddr', saddr, 'id', id, 'payload', payload, unpack(options))
  end
else
  local due_ms = string.format('%d', math.floor(stamp / 1000) + delay_ms)
  local rest = ':' .. saddr .. ':' .. id .. ':' .. ttl_ms .. ':' .. (trace == '' and '' or ';' .. trace) .. ':' .. payload
  -- counted up, so that two that are alike in everything stay two
  while redis.call('ZADD', delayed, 'NX', due_ms, string.format('%016d', stamp) .. rest) == 0 do stamp = stamp + 1 end
  local weight = weigh(string.format('%016d', stamp) .. rest)
  -- A script that stops in between leaves another number than there are: measure.lua counts anew.
  if not_due == 0 then
    redis.call('HSET', counts, 'delayed_bytes', weight, 'delayed_count', 1)
  else
    redis.call('HINCRBY', counts, 'delayed_bytes', weight)
    redis.call('HINCRBY', counts, 'delayed_count', 1)
  end
end
return { length + 1, max_length, is_new, is_ahead, max_bytes }
