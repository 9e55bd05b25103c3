#!lua flags=no-writes
-- Counts a queue's messages by state, in constant time (but for the sorted sets, logarithmic).
--
-- KEYS[1]  aizumi:{address}:queue     stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases    zset: entry:stamp → when its lease ends, ms; 0: it has ended
-- KEYS[3]  aizumi:{address}:delayed   zset: messages not yet due → when they are, ms
-- KEYS[4]  aizumi:{address}:backed    zset: entries given back with a delay → when they are due, ms
-- KEYS[5]  aizumi:{address}:dead      stream: messages delivered too often
-- KEYS[6]  aizumi:{address}:settings  hash: what HELO set for this queue alone
-- KEYS[7]  aizumi:{address}:counts    hash: expired → messages thrown away
-- Returns  {waiting, leased, delayed, dead, expired, age of the oldest message in ms, 0 without any,
--          settings as a flat list of names and values, 1: the oldest message in the stream, or the first of `delayed`, has
--          expired, else 0}; nil without a queue
-- Errors   those of Redis only
local queue, leases, delayed, backed, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local settings, counts = KEYS[6], KEYS[7]
if redis.call('EXISTS', queue, delayed, dead) == 0 then return nil end

local time = redis.call('TIME')
local now_ms = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local later = '(' .. now_ms
local length, not_due = redis.call('XLEN', queue), redis.call('ZCARD', delayed)
local leased, delayed_later = redis.call('ZCOUNT', leases, later, '+inf'), redis.call('ZCOUNT', delayed, later, '+inf')
local backed_later = redis.call('ZCOUNT', backed, later, '+inf')

local queue_ttl_ms = redis.call('HGET', settings, 'ttl_ms')
local oldest_ms, has_expired = 0, false
local oldest = redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
if oldest then
  local sent_ms, ttl_ms = string.match(oldest[1], '^%d+'), queue_ttl_ms
  for i = 7, #oldest[2], 2 do
    if oldest[2][i] == 'sent' then sent_ms = oldest[2][i + 1] elseif oldest[2][i] == 'ttl' then ttl_ms = oldest[2][i + 1] end
  end
  oldest_ms = math.max(0, now_ms - sent_ms)
  has_expired = ttl_ms and sent_ms + ttl_ms <= tonumber(now_ms)
end
local first = not has_expired and not_due > 0 and redis.call('ZRANGE', delayed, 0, 0)[1]
if first then
  local sent_ms, ttl_ms = string.match(first, '^(%d+)%d%d%d:%d+:%d+:(%d*):')
  if ttl_ms == '' then ttl_ms = queue_ttl_ms end
  has_expired = ttl_ms and sent_ms + ttl_ms <= tonumber(now_ms)
end

return {
  math.max(0, length - leased - backed_later + not_due - delayed_later), leased, delayed_later + backed_later,
  redis.call('XLEN', dead), tonumber(redis.call('HGET', counts, 'expired') or 0), oldest_ms, redis.call('HGETALL', settings),
  has_expired and 1 or 0,
}
