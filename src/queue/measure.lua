#!lua flags=allow-oom
-- Measures the bytes that a queue takes in Redis, including what its messages will take while they are leased, so that a RECV
-- does not add to them.
--
-- KEYS[1]  aizumi:{address}:queue    stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:delayed  zset: message that is not due yet → when it is due, ms
-- KEYS[3]  aizumi:{address}:dead     stream: messages delivered too often
-- KEYS[4]  aizumi:{address}:seen     hash: messages sent with dedup that live
-- KEYS[5]  aizumi:{address}:ended0   hash: messages sent with dedup that ended in an even window
-- KEYS[6]  aizumi:{address}:ended1   hash: the same of odd windows
-- KEYS[7]  aizumi:{address}:counts   hash: delayed_bytes, delayed_count → what so many members of `delayed` take
-- ARGV[1]  how many nodes of a stream are measured; the others count as the average of these. 0: all are measured
-- ARGV[2]  bytes that a message takes while it is leased, beside its entry
-- Returns  {bytes, the most of these that belong to messages that can be received, the most that belong to others}; the last two
--          are right only if all nodes are measured
-- Errors   those of Redis only
local queue, delayed, dead, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ended0, ended1, counts = KEYS[5], KEYS[6], KEYS[7]
local nodes, lease_bytes = ARGV[1], tonumber(ARGV[2])

-- members of a sorted set, each of which costs 0.1 to 0.5 µs to measure; fields of a hash, which are of nearly the same size
local MOST_MEMBERS, MOST_DUE, FIELDS = 5000, 1000, 20

local bytes = (redis.call('MEMORY', 'USAGE', queue, 'SAMPLES', nodes) or 0)
  + (redis.call('MEMORY', 'USAGE', dead, 'SAMPLES', nodes) or 0)
  + (redis.call('MEMORY', 'USAGE', seen, 'SAMPLES', FIELDS) or 0)
  + (redis.call('MEMORY', 'USAGE', ended0, 'SAMPLES', FIELDS) or 0)
  + (redis.call('MEMORY', 'USAGE', ended1, 'SAMPLES', FIELDS) or 0)
  + redis.call('XLEN', queue) * lease_bytes

local count, all, due_bytes, not_due = redis.call('ZCARD', delayed), 0, 0, 0
if count > 0 then
  local known = redis.call('HMGET', counts, 'delayed_bytes', 'delayed_count')
  local sum = tonumber(known[1])
  if tonumber(known[2]) ~= count then
    -- A script stopped half-way, or a version of aizumi that did not count has written. If there are too many members, the bytes
    -- remain an estimate until there are fewer.
    sum = redis.call('MEMORY', 'USAGE', delayed, 'SAMPLES', nodes == '0' and MOST_MEMBERS or nodes) or 0
    if nodes == '0' and count <= MOST_MEMBERS then
      redis.call('HSET', counts, 'delayed_bytes', string.format('%.0f', sum), 'delayed_count', count)
    end
  end
  all = sum + count * lease_bytes
  not_due = all
  if nodes == '0' then
    local time = redis.call('TIME')
    local due = redis.call('ZCOUNT', delayed, '-inf', string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)))
    if due > MOST_DUE then
      due_bytes = all
    elseif due > 0 then
      -- MEMORY USAGE samples the first members, which are those that are due
      due_bytes = math.min(all, due * (redis.call('MEMORY', 'USAGE', delayed, 'SAMPLES', due) / count + lease_bytes))
      not_due = all - due_bytes
    end
  end
end
return { math.floor(bytes + all), math.floor(bytes + due_bytes), math.floor(not_due) }
