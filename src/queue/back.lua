#!lua flags=allow-oom
-- Puts a message that the receiver holds back into its queue, to be redelivered now or later: the earliest delivery with this
-- id, or the delivery that a receipt names.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases  zset: delivery → when its lease ends, ms; 0: it has ended
-- KEYS[3]  aizumi:{address}:held    zset: receipt → message id
-- KEYS[4]  aizumi:{address}:backed  zset: entry given back with a delay → when it is due, ms
-- KEYS[5]  aizumi:{address}:attempts  zset: receipt → number of its attempt; =attempt_id → that number plus how many asked
-- ARGV[1]  message id, 0 … 2^53 − 1
-- ARGV[2]  receipt, a member of held; '': none
-- ARGV[3]  delay, ms; 0: none
-- ARGV[4]  1: this delivery counts as one, 0: it does not
-- Returns  1, or 0 when no such message is held
-- Errors   LEASE_LOST: no delivery of this id with this receipt is held; nothing changed
local queue, leases, held, backed, attempts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, receipt, delay_ms, counts = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
--@include members: read_receipt, backed_of
--@include held: find_held
--@include attempts: leave_attempt

local member = find_held(held, id, receipt)
local entry, lease, suffix = read_receipt(member or '')
-- A script that stopped half-way may have left it in `held` without a lease, which RECV repairs.
if not member or not redis.call('ZSCORE', leases, lease) then
  if receipt ~= '' then return redis.error_reply('LEASE_LOST this delivery is not held') end
  return 0
end
leave_attempt(attempts, member)
if counts == '0' then
  -- nil, or an error without [1], when somebody deleted the entry or the whole stream by hand
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
  redis.call('ZADD', backed, due_ms, backed_of(entry, suffix))
end
return 1
