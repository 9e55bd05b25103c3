#!lua
-- Adds a message where the plain XADD of send.ts does not do: the queue is new, or may be full.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- ARGV[1]  most messages the queue may hold, count
-- ARGV[2]  saddr
-- ARGV[3]  message id
-- ARGV[4]  payload, JSON text
-- Returns  the queue's length with the message, count
-- Errors   QUEUE_FULL: nothing was added
local queue = KEYS[1]
local max_length, saddr, id, payload = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]

local length = redis.call('XLEN', queue)
if length >= max_length then return redis.error_reply('QUEUE_FULL the queue holds ' .. length .. ' messages') end
if length == 0 and redis.call('EXISTS', queue) == 0 then
  redis.call('XGROUP', 'CREATE', queue, 'receivers', 0, 'MKSTREAM')
end
redis.call('XADD', queue, '*', 'saddr', saddr, 'id', id, 'payload', payload)
return length + 1
