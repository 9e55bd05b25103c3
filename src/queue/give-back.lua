#!lua flags=allow-oom
-- Takes back what a RECV took whose reply could not be written, as if it had not been delivered: unless somebody else was
-- given the same deliveries by asking with the same attempt_id, or has set a lease anew.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases  zset: entry:stamp, or entry:stamp:saddr if sent once → when its lease ends, ms; 0: ended
-- KEYS[3]  aizumi:{address}:held    zset: stamp:entry, or stamp:entry:saddr if sent once → message id
-- KEYS[4]  aizumi:{address}:attempts  zset: receipt → number of its attempt, a multiple of 1000; =attempt_id → that number plus how many ask
-- ARGV[1]  the deliveries: of each its receipt and when its lease was to end, ms, all with spaces in between
-- ARGV[2]  attempt_id of that RECV; '': none
-- Returns  1, or 0 when somebody else may have been told of them, or the attempt is over: then nothing was taken back
-- Errors   those of Redis only
local queue, leases, held, attempts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local deliveries, attempt_id = ARGV[1], ARGV[2]

if attempt_id ~= '' then
  local asked = redis.call('ZSCORE', attempts, '=' .. attempt_id)
  local number
  for receipt in string.gmatch(deliveries, '(%S+) %d+') do
    number = redis.call('ZSCORE', attempts, receipt)
    if number then break end
  end
  -- the attempt_id may have been used anew meanwhile, for other messages
  local asks = asked and number and asked - number
  if not asks or asks < 1 or asks > 999 then return 0 end
  if asks > 1 then
    if asks < 999 then redis.call('ZADD', attempts, asked - 1, '=' .. attempt_id) end
    return 0
  end
  -- who asks from now on takes anew
  redis.call('ZREM', attempts, unpack(redis.call('ZRANGE', attempts, number, asked, 'BYSCORE')))
end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
for receipt, lease_until_ms in string.gmatch(deliveries, '(%S+) (%d+)') do
  local stamp, entry, suffix = string.sub(receipt, 1, 16), string.sub(receipt, 18, 41), string.sub(receipt, 42)
  local lease = entry .. ':' .. stamp .. suffix
  local ends = tonumber(redis.call('ZSCORE', leases, lease))
  -- another end that is to come: whoever said KEEP was promised it
  if ends and (ends == tonumber(lease_until_ms) or ends <= now_ms) and redis.call('ZSCORE', held, receipt) then
    -- missing, or an error without [1], when somebody deleted the entry or the whole stream by hand
    local pending = redis.pcall('XPENDING', queue, 'receivers', entry, entry, 1)[1]
    -- first: a script that stops half-way must not leave a delivery of which nobody was told among those that count
    if pending then
      redis.call('XCLAIM', queue, 'receivers', 'aizumi', 0, entry, 'RETRYCOUNT', pending[4] - 1, 'JUSTID')
    end
    redis.call('ZADD', leases, 0, lease)
    redis.call('ZREM', held, receipt)
  end
end
return 1
