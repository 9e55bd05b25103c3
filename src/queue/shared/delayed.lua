-- Counts in `counts` (delayed_bytes, delayed_count) the bytes that the members of `delayed` take in Redis. A script that stops
-- half-way leaves a count that differs from the number of members; then measure.lua counts again.

-- Returns the bytes that a member takes: its text, in jemalloc's allocation steps, and 94 for its place in the sorted set.
local function weigh(member)
  local _, exponent = math.frexp(#member + 4)
  local step = math.max(16, 2 ^ (exponent - 3))
  return math.ceil((#member + 5) / step) * step + 94
end

-- Counts a member that was added to `count` others.
local function count_delayed(counts_key, count, bytes)
  if count == 0 then
    redis.call('HSET', counts_key, 'delayed_bytes', bytes, 'delayed_count', 1)
  else
    redis.call('HINCRBY', counts_key, 'delayed_bytes', bytes)
    redis.call('HINCRBY', counts_key, 'delayed_count', 1)
  end
end

-- Subtracts `count` removed members from the counts.
local function uncount_delayed(delayed_key, counts_key, count, bytes)
  if redis.call('ZCARD', delayed_key) == 0 then
    redis.call('HDEL', counts_key, 'delayed_bytes', 'delayed_count')
  else
    redis.call('HINCRBY', counts_key, 'delayed_bytes', -bytes)
    redis.call('HINCRBY', counts_key, 'delayed_count', -count)
  end
end
