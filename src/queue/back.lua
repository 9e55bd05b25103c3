#!lua flags=allow-oom
-- Gives back a message that the receiver holds, to be delivered again now or later: of those with this id the one delivered
-- first, or the one delivery that a receipt names.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases  zset: entry:stamp, or entry:stamp:saddr if sent once → when its lease ends, ms; 0: ended
-- KEYS[3]  aizumi:{address}:held    zset: stamp:entry, or stamp:entry:saddr if sent once → message id
-- KEYS[4]  aizumi:{address}:backed  zset: entry, or entry:saddr if sent once, given back with a delay → when it is due, ms
-- KEYS[5]  aizumi:{address}:attempts  zset: receipt → number of its attempt, a multiple of 1000; =attempt_id → that number plus how many ask
-- ARGV[1]  message id, 0 … 2^53 − 1
-- ARGV[2]  receipt, a member of held; '': none
-- ARGV[3]  delay, ms; 0: none
-- ARGV[4]  1: this delivery counts as one, 0: it does not
-- Returns  1, or 0 when no such message is held
-- Errors   LEASE_LOST: the receipt is of no delivery of this id that is held; nothing changed
local queue, leases, held, backed, attempts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, receipt, delay_ms, counts = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local member = receipt
if receipt == '' then
  member = redis.call('ZRANGE', held, id, id, 'BYSCORE', 'LIMIT', '0', '1')[1]
  if not member then return 0 end
elseif tonumber(redis.call('ZSCORE', held, receipt)) ~= tonumber(id) then
  return redis.error_reply('LEASE_LOST this delivery is not held')
end
local stamp, entry, suffix = string.sub(member, 1, 16), string.sub(member, 18, 41), string.sub(member, 42)
local lease = entry .. ':' .. stamp .. suffix
-- a script that stopped half-way may have left it in `held`: then RECV's repair has it
if not redis.call('ZSCORE', leases, lease) then
  if receipt ~= '' then return redis.error_reply('LEASE_LOST this delivery is not held') end
  return 0
end
local number = redis.call('ZSCORE', attempts, member)
if number then
  -- the last delivery of an attempt takes its attempt_id with it
  local of = redis.call('ZRANGE', attempts, number, number + 999, 'BYSCORE', 'LIMIT', 0, 3)
  redis.call('ZREM', attempts, member, unpack(of[3] and {} or of))
end
if counts == '0' then
  -- missing, or an error without [1], when somebody deleted the entry or the whole stream by hand
  local pending = redis.pcall('XPENDING', queue, 'receivers', entry, entry, 1)[1]
  if pending then
    redis.call('XCLAIM', queue, 'receivers', 'aizumi', 0, entry, 'RETRYCOUNT', pending[4] - 1, 'JUSTID')
  end
end
if delay_ms == 0 then
  redis.call('ZADD', leases, 0, lease)
  redis.call('ZREM', held, member)
else
  local time = redis.call('TIME')
  redis.call('ZREM', leases, lease)
  redis.call('ZREM', held, member)
  local due_ms = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000) + delay_ms)
  redis.call('ZADD', backed, due_ms, entry .. suffix)
end
return 1
