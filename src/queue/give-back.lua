#!lua flags=allow-oom
-- Undoes the deliveries of a RECV whose reply could not be written, unless another request with the same attempt_id received the
-- same deliveries. A delivery whose lease KEEP has changed meanwhile is left alone.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases  zset: delivery → when its lease ends, ms; 0: it has ended
-- KEYS[3]  aizumi:{address}:held    zset: receipt → message id
-- KEYS[4]  aizumi:{address}:attempts  zset: receipt → number of its attempt; =attempt_id → that number plus how many asked
-- ARGV[1]  the deliveries: for each its receipt and the end of its lease as it was taken, ms, all separated by spaces
-- ARGV[2]  attempt_id of that RECV; '': none
-- Returns  1; or 0 if another request may have received them, or the attempt is over: then nothing was undone
-- Errors   those of Redis only
local queue, leases, held, attempts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local deliveries, attempt_id = ARGV[1], ARGV[2]
--@include members: read_receipt

if attempt_id ~= '' then
  --@include members: attempt_of
  local attempt = attempt_of(attempt_id)
  local asked = redis.call('ZSCORE', attempts, attempt)
  local number
  for receipt in string.gmatch(deliveries, '(%S+) %d+') do
    number = redis.call('ZSCORE', attempts, receipt)
    if number then break end
  end
  -- the attempt_id may meanwhile have been used for other messages
  local asks = asked and number and asked - number
  if not asks or asks < 1 or asks > 999 then return 0 end
  if asks > 1 then
    if asks < 999 then redis.call('ZADD', attempts, asked - 1, attempt) end
    return 0
  end
  -- ends the attempt: the next request with this attempt_id takes other messages
  redis.call('ZREM', attempts, unpack(redis.call('ZRANGE', attempts, number, asked, 'BYSCORE')))
end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
for receipt, lease_until_ms in string.gmatch(deliveries, '(%S+) (%d+)') do
  local entry, lease = read_receipt(receipt)
  local ends = tonumber(redis.call('ZSCORE', leases, lease))
  -- another end in the future was set by KEEP, which promised it to a receiver
  if ends and (ends == tonumber(lease_until_ms) or ends <= now_ms) and redis.call('ZSCORE', held, receipt) then
    -- nil, or an error without [1], when somebody deleted the entry or the whole stream by hand
    local pending = redis.pcall('XPENDING', queue, 'receivers', entry, entry, 1)[1]
    -- this first, so that a script that stops half-way does not leave a delivery counted that nobody received
    if pending then
      redis.call('XCLAIM', queue, 'receivers', 'aizumi', 0, entry, 'RETRYCOUNT', pending[4] - 1, 'JUSTID')
    end
    redis.call('ZADD', leases, 0, lease)
    redis.call('ZREM', held, receipt)
  end
end
return 1
