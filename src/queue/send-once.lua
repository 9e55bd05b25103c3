#!lua
-- Adds a message unless the same sender has sent this id to this queue before: while that message lives, and for the
-- window after it ended. It ends when it is freed, dropped or dead, or when its time to live is over, whatever is first. A
-- repeat writes too, so that WAIT behind it waits for what the first one wrote.
--
-- KEYS[1]  aizumi:{address}:queue     stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:delayed   zset: stamp:saddr:id:ttl:once;trace:payload of messages not yet due → when they are, ms
-- KEYS[3]  aizumi:{address}:settings  hash: max_queue_length, max_queue_bytes, ttl_ms, those that this queue has of its own
-- KEYS[4]  aizumi:{address}:seen      hash: saddr:id → sha1 of the payload:entry, or sha1:stamp:ttl while it is delayed, and ;trace
-- KEYS[5]  aizumi:{address}:ended0    hash: saddr:id → sha1 of the payload, of messages sent once that ended in an even window;
--          until: when the hash expires, ms
-- KEYS[6]  aizumi:{address}:ended1    hash: the same of odd windows
-- KEYS[7]  aizumi:{address}:counts    hash: delayed_bytes, delayed_count → what so many members of `delayed` take
-- ARGV[1]  most messages the queue may hold, where it has no lower limit of its own, count
-- ARGV[2]  saddr
-- ARGV[3]  message id
-- ARGV[4]  payload, JSON text
-- ARGV[5]  delay, ms; 0: none
-- ARGV[6]  time to live, ms; '': no end
-- ARGV[7]  traceparent; '': none
-- ARGV[8]  window, ms
-- ARGV[9]  most bytes the queue may take, where it has no lower limit of its own
-- ARGV[10]  bytes that the queue takes, as far as is known; full: there is no room, as it was measured just now; share: the client
--          has stored as many bytes as it may
-- ARGV[11]  bytes that the message will take
-- ARGV[12]  1: the client may make a queue; 0: it has as many as it may
-- Returns  {the queue's length with the message, 0 for a repeat, and the most it may be}, counts; 1 if the queue is new, 0 if
--          not; 1 if the ids of its entries are ahead of the clock, 0 if not, -1: unknown; the most bytes it may take
-- Errors   QUEUE_FULL, QUEUE_BYTES, CLIENT_BYTES, CLIENT_QUEUES, ID_CONFLICT (sent before with another payload): nothing was added
local queue, delayed, settings, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ended0, ended1, counts = KEYS[5], KEYS[6], KEYS[7]
local max_length, saddr, id, payload, delay_ms, ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local trace, window_ms = ARGV[7], tonumber(ARGV[8])
local max_bytes, known_bytes, more_bytes, may_make = ARGV[9], ARGV[10], ARGV[11], ARGV[12]

-- What a member of `delayed` takes: its text in the steps in which jemalloc gives memory, and what the sorted set needs for it.
local function weigh(member)
  local _, exponent = math.frexp(#member + 4)
  local step = math.max(16, 2 ^ (exponent - 3))
  return math.ceil((#member + 5) / step) * step + 94
end

local own = redis.call('HMGET', settings, 'max_queue_length', 'ttl_ms', 'max_queue_bytes')
max_length, max_bytes = math.min(max_length, own[1] or max_length), math.min(max_bytes, own[3] or max_bytes)
local time = redis.call('TIME')
local stamp = time[1] * 1000000 + time[2]
local now_ms = math.floor(stamp / 1000)
local field, digest = saddr .. ':' .. id, redis.sha1hex(payload)

-- when a message that was sent ends by itself, ms; nil: never
local function end_of(sent_ms, ttl)
  ttl = ttl or own[2]
  return ttl and sent_ms + ttl
end

-- Of a message in the stream or in `delayed`: whether it is there, and when it ends. One that somebody deleted by hand was
-- never delivered: it does not count.
local function find(value)
  local entry = string.sub(value, 42)
  local sent, ttl, old_trace = string.match(entry, '^(%d+):(%d*)(;?[%x-]*)$')
  if sent then
    local member = sent .. ':' .. field .. ':' .. ttl .. ':1' .. old_trace .. ':' .. payload
    -- with another payload it cannot be looked for, and is a conflict
    local is_there = string.sub(value, 1, 40) ~= digest or redis.call('ZSCORE', delayed, member)
    return is_there, end_of(string.sub(sent, 1, 13), ttl ~= '' and ttl or nil)
  end
  local message = redis.call('XRANGE', queue, entry, entry)[1]
  if not message then return false end
  local of = {}
  for i = 7, #message[2], 2 do of[message[2][i]] = message[2][i + 1] end
  return true, end_of(of.sent or string.match(entry, '^%d+'), of.ttl)
end

-- what is remembered of a message that lives: its digest and its entry; of one that ended: the digest
local function sent_before()
  local value = redis.call('HGET', seen, field)
  if value then
    local is_there, ends_ms = find(value)
    -- one whose time is over is remembered as if it had been freed then
    if is_there and (not ends_ms or ends_ms > now_ms or (math.floor(ends_ms / window_ms) + 2) * window_ms > now_ms) then
      return seen, value
    end
  end
  for _, key in ipairs({ ended0, ended1 }) do
    local kept = redis.call('HMGET', key, 'until', field)
    if kept[2] and tonumber(kept[1] or 0) > now_ms then return key, kept[2] end
  end
end

local key, value = sent_before()
if key then
  if string.sub(value, 1, 40) ~= digest then return redis.error_reply('ID_CONFLICT this id was sent with another payload') end
  redis.call('HSET', key, field, value)
  return { 0, max_length, 0, -1, max_bytes }
end

local entries = redis.call('XLEN', queue)
local not_due = redis.call('ZCARD', delayed)
local length = entries + not_due
if length >= max_length then return redis.error_reply('QUEUE_FULL the queue holds ' .. length .. ' messages') end
if known_bytes == 'full' then return redis.error_reply('QUEUE_BYTES the queue was full just now') end
if known_bytes == 'share' then return redis.error_reply('CLIENT_BYTES the client has stored as many as it may') end
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
local is_ahead = -1
if delay_ms == 0 then
  local options = { 'once', 1 }
  if ttl_ms ~= '' then options = { 'once', 1, 'ttl', ttl_ms } end
  if trace ~= '' then
    table.insert(options, 'trace')
    table.insert(options, trace)
  end
  -- as in send.lua: where the last entry's id is ahead of the clock, the entry says when it was sent
  local now_text = string.format('%d', now_ms)
  local entry = redis.pcall('XADD', queue, now_text .. '-*', 'saddr', saddr, 'id', id, 'payload', payload, unpack(options))
  is_ahead = type(entry) == 'table' and 1 or 0
  if is_ahead == 1 then
    table.insert(options, 'sent')
    table.insert(options, now_text)
    entry = redis.call('XADD', queue, '*', 'saddr', saddr, 'id', id, 'payload', payload, unpack(options))
  end
  local done = redis.pcall('HSET', seen, field, digest .. ':' .. entry)
  if type(done) == 'table' then
    -- a message whose repeat would be another must not be there
    redis.pcall('XDEL', queue, entry)
    error(done)
  end
else
  local sent, due_ms = string.format('%016d', stamp), string.format('%d', now_ms + delay_ms)
  local suffix = trace == '' and '' or ';' .. trace
  -- remembered before it is there: what is remembered and not there does not count
  redis.call('HSET', seen, field, digest .. ':' .. sent .. ':' .. ttl_ms .. suffix)
  local member = sent .. ':' .. field .. ':' .. ttl_ms .. ':1' .. suffix .. ':' .. payload
  redis.call('ZADD', delayed, due_ms, member)
  local weight = weigh(member)
  -- As in send.lua: a script that stops in between leaves another number than there are: measure.lua counts anew.
  if not_due == 0 then
    redis.call('HSET', counts, 'delayed_bytes', weight, 'delayed_count', 1)
  else
    redis.call('HINCRBY', counts, 'delayed_bytes', weight)
    redis.call('HINCRBY', counts, 'delayed_count', 1)
  end
end
return { length + 1, max_length, is_new, is_ahead, max_bytes }
