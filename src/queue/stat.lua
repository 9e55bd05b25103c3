#!lua flags=no-writes
-- Counts a queue's messages by state, in constant time (but for the index of leases, logarithmic).
--
-- KEYS[1]  aizumi:{address}:queue    stream: messages
-- KEYS[2]  aizumi:{address}:leases   zset: entry:stamp → when its lease ends, ms; 0: it has ended
-- KEYS[3]  aizumi:{address}:delayed  zset: messages not yet due
-- KEYS[4]  aizumi:{address}:dead     stream: messages delivered too often
-- Returns  {waiting, leased, delayed, dead, age of the oldest message in ms, 0 without any}; nil without a queue
-- Errors   those of Redis only
local queue, leases, delayed, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('EXISTS', queue, delayed, dead) == 0 then return nil end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local leased = redis.call('ZCOUNT', leases, '(' .. now_ms, '+inf')
local oldest_ms = 0
local oldest = redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
if oldest then oldest_ms = math.max(0, now_ms - tonumber(string.match(oldest[1], '^%d+'))) end
return {
  math.max(0, redis.call('XLEN', queue) - leased), leased, redis.call('ZCARD', delayed), redis.call('XLEN', dead), oldest_ms,
}
