#!lua flags=allow-oom
-- Stores two samples of a queue's counters, the latest that GET /queues has read and the one before, for all workers.
--
-- KEYS[1]  aizumi:{address}:sample  hash: at, sent, received, gone; before_at, before_sent, before_received, before_gone
-- ARGV[1]  JSON: the hash, an object of integers
-- ARGV[2]  how long it is kept, ms
-- Returns  0
-- Errors   those of Redis only
local sample = KEYS[1]
local fields, keep_ms = ARGV[1], ARGV[2]

redis.call('DEL', sample)
for name, value in pairs(cjson.decode(fields)) do redis.call('HSET', sample, name, string.format('%.0f', value)) end
redis.call('PEXPIRE', sample, keep_ms)
return 0
