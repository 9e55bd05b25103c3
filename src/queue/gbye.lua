#!lua flags=allow-oom
-- Puts the messages that a leaving receiver holds back into the queue, a part at a time, and removes the queue's keys when
-- nothing is left. Messages that were sent or returned with a delay stay as they are: those in `backed` have an entry in the
-- stream, so the queue is not empty.
--
-- KEYS[1]  aizumi:{address}:queue    stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases   zset: delivery → when its lease ends, ms; 0: it has ended
-- KEYS[3]  aizumi:{address}:held     zset: receipt → message id
-- KEYS[4]  aizumi:{address}:delayed  zset: message that is not due yet → when it is due, ms
-- KEYS[5]  aizumi:{address}:dead     stream: messages delivered too often
-- KEYS[6]  aizumi:{address}:settings  hash: settings of this queue alone
-- KEYS[7]  aizumi:{address}:counts   hash: the queue's counters
-- KEYS[8]  aizumi:{address}:sample   hash: the queue's counters as GET /queues saw them last
-- KEYS[9]  aizumi:{address}:attempts  zset: receipt → number of its attempt; =attempt_id → that number plus how many asked
-- KEYS[10]  aizumi:{address}:seen     hash: saddr:id → digest and place of a message sent with dedup that lives
-- ARGV[1]  most messages to return in this call, count
-- Returns  {how many were returned, how many are still held}, counts: call again until the second is 0
-- Errors   those of Redis only
local queue, leases, held, delayed, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local settings, counts, sample, attempts, seen = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local at_most = tonumber(ARGV[1])
--@include members: read_receipt

-- this call or the next ones return all that is held, so a repeat of an attempt_id must no longer return any of it
redis.call('UNLINK', attempts)
local members = redis.call('ZRANGE', held, 0, at_most - 1)
for _, member in ipairs(members) do
  local _, lease = read_receipt(member)
  redis.call('ZADD', leases, 0, lease)
  redis.call('ZREM', held, member)
end
local still_held = redis.call('ZCARD', held)
if still_held == 0
  and redis.call('XLEN', queue) == 0
  and redis.call('ZCARD', delayed) == 0
  and redis.call('XLEN', dead) == 0 then
  -- no message is left, so whatever `seen` still has was left by a script that stopped half-way
  redis.call('DEL', queue, leases, settings, counts, sample, seen)
end
return { #members, still_held }
