#!lua flags=allow-oom
-- The receiver leaves: gives back what it holds, a part at a time, and removes the queue's keys when nothing is left.
-- What was sent or given back with a delay stays as it is; while something is in `backed`, its entry is in the stream.
--
-- KEYS[1]  aizumi:{address}:queue    stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases   zset: entry:stamp, or entry:stamp:saddr if sent once → when its lease ends, ms; 0: ended
-- KEYS[3]  aizumi:{address}:held     zset: stamp:entry, or stamp:entry:saddr if sent once → message id
-- KEYS[4]  aizumi:{address}:delayed  zset: messages not yet due
-- KEYS[5]  aizumi:{address}:dead     stream: messages delivered too often
-- KEYS[6]  aizumi:{address}:settings  hash: what HELO set for this queue alone
-- KEYS[7]  aizumi:{address}:counts   hash: expired → messages thrown away
-- KEYS[8]  aizumi:{address}:sample   hash: what GET /queues saw last
-- KEYS[9]  aizumi:{address}:attempts  zset: receipt → number of its attempt, a multiple of 1000; =attempt_id → that number plus how many ask
-- KEYS[10]  aizumi:{address}:seen     hash: saddr:id → sha1 of the payload:entry, of messages sent once that live
-- ARGV[1]  most messages to give back in this call, count
-- Returns  {how many were given back, and how many are still held: call again until that is 0}
-- Errors   those of Redis only
local queue, leases, held, delayed, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local settings, counts, sample, attempts, seen = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local at_most = tonumber(ARGV[1])

-- all that is held will be given back, if not by this call: until then nobody is told of it
redis.call('UNLINK', attempts)
local members = redis.call('ZRANGE', held, 0, at_most - 1)
for _, member in ipairs(members) do
  local stamp, entry = string.sub(member, 1, 16), string.sub(member, 18, 41)
  redis.call('ZADD', leases, 0, entry .. ':' .. stamp .. string.sub(member, 42))
  redis.call('ZREM', held, member)
end
local still_held = redis.call('ZCARD', held)
if still_held == 0
  and redis.call('XLEN', queue) == 0
  and redis.call('ZCARD', delayed) == 0
  and redis.call('XLEN', dead) == 0 then
  -- what is in `seen` then, a script that stopped half-way has left: no message lives
  redis.call('DEL', queue, leases, settings, counts, sample, seen)
end
return { #members, still_held }
