#!lua flags=no-writes
-- Counts a queue's messages by state; in constant time, of the sorted sets in logarithmic time.
--
-- KEYS[1]  aizumi:{address}:queue     stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases    zset: delivery → when its lease ends, ms; 0: it has ended
-- KEYS[3]  aizumi:{address}:delayed   zset: message that is not due yet → when it is due, ms
-- KEYS[4]  aizumi:{address}:backed    zset: entry given back with a delay → when it is due, ms
-- KEYS[5]  aizumi:{address}:dead      stream: messages delivered too often
-- KEYS[6]  aizumi:{address}:settings  hash: settings of this queue alone
-- KEYS[7]  aizumi:{address}:counts    hash: expired → messages whose time to live was over when they were deleted
-- Returns  {waiting, leased, delayed, dead, expired, age of the oldest message in ms, 0 without any,
--          settings as a flat list of names and values, 1: the time to live of the oldest message in the
--          stream, or of the first of `delayed`, is over, else 0}; nil without a queue
-- Errors   those of Redis only
local queue, leases, delayed, backed, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local settings, counts = KEYS[6], KEYS[7]
--@include members: read_options, read_delayed, stamp_ms, added_ms

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
  local _, ttl_ms, sent_ms = read_options(oldest[2])
  sent_ms, ttl_ms = sent_ms or added_ms(oldest[1]), ttl_ms or queue_ttl_ms
  oldest_ms = math.max(0, now_ms - sent_ms)
  has_expired = ttl_ms and sent_ms + ttl_ms <= tonumber(now_ms)
end
local first = not has_expired and not_due > 0 and redis.call('ZRANGE', delayed, 0, 0)[1]
if first then
  local stamp, _, _, ttl_ms = read_delayed(first)
  if ttl_ms == '' then ttl_ms = queue_ttl_ms end
  has_expired = ttl_ms and stamp_ms(stamp) + ttl_ms <= tonumber(now_ms)
end

return {
  math.max(0, length - leased - backed_later + not_due - delayed_later), leased, delayed_later + backed_later,
  redis.call('XLEN', dead), tonumber(redis.call('HGET', counts, 'expired') or 0), oldest_ms, redis.call('HGETALL', settings),
  has_expired and 1 or 0,
}
