#!lua
-- Creates an empty queue unless there is one, and sets or resets the queue's own settings.
--
-- KEYS[1]  aizumi:{address}:queue     stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:settings  hash: visibility_timeout_ms, max_deliveries, max_queue_length, max_queue_bytes, ttl_ms
-- ARGV[1]  JSON: settings to change, an object; null resets one to the broker's default
-- ARGV[2]  1: the client may create a queue; 0: it has reached its limit
-- Returns  1 if the queue is new, 0 if not
-- Errors   CLIENT_QUEUES: nothing was done
local queue, settings = KEYS[1], KEYS[2]
local changes, may_make = ARGV[1], ARGV[2]

local is_new = 1 - redis.call('EXISTS', queue)
if is_new == 1 and may_make == '0' then return redis.error_reply('CLIENT_QUEUES the client has made as many as it may') end
-- pcall, because BUSYGROUP only means that the group exists; a stream that has lost its group gets a new one
local made = redis.pcall('XGROUP', 'CREATE', queue, 'receivers', 0, 'MKSTREAM')
if made.err and string.sub(made.err, 1, 9) ~= 'BUSYGROUP' then return made end
for name, value in pairs(cjson.decode(changes)) do
  if value == cjson.null then redis.call('HDEL', settings, name)
  else redis.call('HSET', settings, name, string.format('%.0f', value)) end
end
return is_new
