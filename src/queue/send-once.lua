#!lua
-- Adds a message unless the same sender has sent this id to this queue before: while that message lives, and for the
-- window after it ended. A repeat writes too, so that WAIT behind it waits for what the first one wrote.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:seen    hash: saddr:id → sha1 of the payload:entry, of messages that live
-- ARGV[1]  most messages the queue may hold, count
-- ARGV[2]  saddr
-- ARGV[3]  message id
-- ARGV[4]  payload, JSON text
-- ARGV[5]  window, ms
-- Returns  the queue's length with the message, count; 0 for a repeat
-- Errors   QUEUE_FULL, ID_CONFLICT (sent before with another payload): nothing was added
--
-- Of messages that ended the digest is in KEYS[2]:<bucket>, a hash for each window of time that expires as a whole.
local queue, seen = KEYS[1], KEYS[2]
local max_length, saddr, id, payload, window_ms = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local time = redis.call('TIME')
local bucket = math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / window_ms)
local field, digest = saddr .. ':' .. id, redis.sha1hex(payload)

-- what is remembered of a message that lives: its digest and its entry; of one that ended: the digest
local function sent_before()
  for _, key in ipairs({ seen, seen .. ':' .. bucket, seen .. ':' .. bucket - 1 }) do
    local value = redis.call('HGET', key, field)
    if value then
      local entry = string.sub(value, 42)
      -- an entry that somebody deleted by hand was never delivered: it does not count
      if entry == '' or redis.call('XRANGE', queue, entry, entry)[1] then return key, value end
    end
  end
end

local key, value = sent_before()
if key then
  if string.sub(value, 1, 40) ~= digest then return redis.error_reply('ID_CONFLICT this id was sent with another payload') end
  redis.call('HSET', key, field, value)
  return 0
end

local length = redis.call('XLEN', queue)
if length >= max_length then return redis.error_reply('QUEUE_FULL the queue holds ' .. length .. ' messages') end
if length == 0 and redis.call('EXISTS', queue) == 0 then
  redis.call('XGROUP', 'CREATE', queue, 'receivers', 0, 'MKSTREAM')
end
local entry = redis.call('XADD', queue, '*', 'saddr', saddr, 'id', id, 'payload', payload, 'once', 1)
redis.call('HSET', seen, field, digest .. ':' .. entry)
return length + 1
