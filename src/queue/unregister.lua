#!lua flags=allow-oom
-- Removes an address, whose queue is gone, from the register, and counts one queue less for the client that made it.
--
-- KEYS[1]  aizumi:queues                  zset: every address that has a queue, as member and score
-- KEYS[2]  aizumi:{aizumi:queues}:owners  hash: address → the client that made its queue
-- KEYS[3]  aizumi:{aizumi:queues}:made    hash: client → how many addresses in `owners` name it
-- ARGV[1]  address
-- Returns  the client that made the queue; '': it is not known
-- Errors   those of Redis only
local queues, owners, made = KEYS[1], KEYS[2], KEYS[3]
local address = ARGV[1]

local client = redis.call('HGET', owners, address)
if not client then
  redis.call('ZREM', queues, address)
  return ''
end
-- The count first: if the script stops half-way and is repeated, the count becomes too low, never too high.
if redis.call('HINCRBY', made, client, -1) < 1 then redis.call('HDEL', made, client) end
redis.call('HDEL', owners, address)
redis.call('ZREM', queues, address)
return client
