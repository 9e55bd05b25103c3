#!lua flags=allow-oom
-- Sets when the lease of a message that the receiver holds ends: of those with this id the one delivered first, or the one
-- delivery that a receipt names. A lease that has ended begins anew, if nobody else has got the message.
--
-- KEYS[1]  aizumi:{address}:leases  zset: entry:stamp, or entry:stamp:saddr if sent once → when its lease ends, ms
-- KEYS[2]  aizumi:{address}:held    zset: stamp:entry, or stamp:entry:saddr if sent once → message id
-- ARGV[1]  message id, 0 … 2^53 − 1
-- ARGV[2]  receipt, a member of held; '': none
-- ARGV[3]  visibility timeout from now, ms
-- Returns  1, or 0 when no such message is held
-- Errors   LEASE_LOST: the receipt is of no delivery of this id that is held; nothing changed
local leases, held = KEYS[1], KEYS[2]
local id, receipt, visibility_timeout_ms = ARGV[1], ARGV[2], ARGV[3]

local member = receipt
if receipt == '' then
  member = redis.call('ZRANGE', held, id, id, 'BYSCORE', 'LIMIT', '0', '1')[1]
  if not member then return 0 end
elseif tonumber(redis.call('ZSCORE', held, receipt)) ~= tonumber(id) then
  return redis.error_reply('LEASE_LOST this delivery is not held')
end
local time = redis.call('TIME')
local ends_ms = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000) + visibility_timeout_ms)
local lease = string.sub(member, 18, 41) .. ':' .. string.sub(member, 1, 16) .. string.sub(member, 42)
-- a script that stopped half-way may have left it in `held`: then RECV's repair has it
if not redis.call('ZSCORE', leases, lease) then
  if receipt ~= '' then return redis.error_reply('LEASE_LOST this delivery is not held') end
  return 0
end
redis.call('ZADD', leases, ends_ms, lease)
return 1
