#!lua flags=allow-oom
-- Sets the end of the lease of a message that the receiver holds: the earliest delivery with this id, or the delivery that a
-- receipt names. A lease that has ended begins again, unless the message was redelivered.
--
-- KEYS[1]  aizumi:{address}:leases  zset: delivery → when its lease ends, ms
-- KEYS[2]  aizumi:{address}:held    zset: receipt → message id
-- ARGV[1]  message id, 0 … 2^53 − 1
-- ARGV[2]  receipt, a member of held; '': none
-- ARGV[3]  visibility timeout from now, ms
-- Returns  1, or 0 when no such message is held
-- Errors   LEASE_LOST: no delivery of this id with this receipt is held; nothing changed
local leases, held = KEYS[1], KEYS[2]
local id, receipt, visibility_timeout_ms = ARGV[1], ARGV[2], ARGV[3]
--@include members: read_receipt
--@include held: find_held

local member = find_held(held, id, receipt)
local _, lease = read_receipt(member or '')
-- A script that stopped half-way may have left it in `held` without a lease, which RECV repairs.
if not member or not redis.call('ZSCORE', leases, lease) then
  if receipt ~= '' then return redis.error_reply('LEASE_LOST this delivery is not held') end
  return 0
end
local time = redis.call('TIME')
redis.call('ZADD', leases, string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000) + visibility_timeout_ms), lease)
return 1
