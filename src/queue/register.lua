#!lua
-- Adds an address to the register, and counts its queue for the client that has created it.
--
-- KEYS[1]  aizumi:queues                  zset: every address that has a queue, as member and score
-- KEYS[2]  aizumi:{aizumi:queues}:owners  hash: address → the client that made its queue
-- KEYS[3]  aizumi:{aizumi:queues}:made    hash: client → how many addresses in `owners` name it
-- ARGV[1]  address
-- ARGV[2]  the client that has made the queue; '': the queue is not new, or clients are not counted
-- Returns  how many queues this client has made, count; 0 without a client
-- Errors   those of Redis only
local queues, owners, made = KEYS[1], KEYS[2], KEYS[3]
local address, client = ARGV[1], ARGV[2]

redis.call('ZADD', queues, address, address)
if client == '' then return 0 end
if redis.call('HGET', owners, address) then return tonumber(redis.call('HGET', made, client) or 0) end
redis.call('HSET', owners, address, client)
return redis.call('HINCRBY', made, client, 1)
