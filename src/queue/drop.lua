#!lua flags=allow-oom
-- Deletes messages that peek.lua has found, if they are still where it found them and no RECV has taken them since.
--
-- KEYS[1]  aizumi:{address}:queue    stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases   zset: delivery → when its lease ends, ms; 0: it has ended
-- KEYS[3]  aizumi:{address}:held     zset: receipt → message id
-- KEYS[4]  aizumi:{address}:delayed  zset: message that is not due yet → when it is due, ms
-- KEYS[5]  aizumi:{address}:backed   zset: entry given back with a delay → when it is due, ms
-- KEYS[6]  aizumi:{address}:dead     stream: messages delivered too often
-- KEYS[7]  aizumi:{address}:seen     hash: saddr:id → digest and place of a message sent with dedup that lives
-- KEYS[8]  aizumi:{address}:settings  hash: ttl_ms, where this queue has one
-- KEYS[9]  aizumi:{address}:counts   hash: expired → messages whose time to live was over when they were deleted;
--          delayed_bytes, delayed_count → what so many members of `delayed` take
-- KEYS[10]  aizumi:{address}:attempts  zset: receipt → number of its attempt; =attempt_id → that number plus how many asked
-- KEYS[11]  aizumi:{address}:ended0  hash: saddr:id → digest of a message sent with dedup that ended in an even window;
--          until: when the hash expires, ms
-- KEYS[12]  aizumi:{address}:ended1  hash: the same of odd windows
-- ARGV[1]  JSON: [[place, name], …] as peek.lua returns them
-- ARGV[2]  window in which a message sent with dedup is remembered after its end, ms
-- ARGV[3]  1: only messages whose time to live is over, 0: all
-- Returns  {how many were deleted, how many more were deleted because their time to live was over}, counts
-- Errors   those of Redis only
local queue, leases, held, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local backed, dead, seen, settings = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local counts, attempts, ended0, ended1 = KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local targets, window_ms, only_expired = ARGV[1], tonumber(ARGV[2]), ARGV[3]
--@include members: read_lease, read_backed, read_delayed, stamp_ms, read_options, added_ms, seen_field, read_seen, seen_names
--@include delayed: weigh, uncount_delayed
--@include ended: remember_ended
--@include attempts: leave_attempt

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local queue_ttl_ms = redis.call('HGET', settings, 'ttl_ms')
local deleted, expired = 0, 0
-- members removed from `delayed`
local fewer, fewer_bytes = 0, 0

-- Remembers the id of a message if `seen` has this field for it. name: the message's stream id, or its stamp in `delayed`;
-- ends_ms: when its time to live is over, nil: never.
-- Returns whether `seen` has it: then the field must be deleted after the message.
local function remember(field, name, ends_ms)
  local value = redis.call('HGET', seen, field)
  if not value or not seen_names(value, name) then return false end
  remember_ended(ended0, ended1, window_ms, now_ms, math.min(now_ms, ends_ms or now_ms), field, read_seen(value))
  return true
end

local function end_of(sent_ms, ttl_ms)
  ttl_ms = ttl_ms or queue_ttl_ms
  return ttl_ms and sent_ms + ttl_ms or nil
end

local function note(ends_ms)
  if ends_ms and ends_ms <= now_ms then expired = expired + 1 else deleted = deleted + 1 end
end

-- Returns the message, when it ends, and whether it was sent with dedup; false if it must not be deleted; nil if there is none:
-- then members that refer to it are void.
local function find(entry)
  local message = redis.call('XRANGE', queue, entry, entry)[1]
  if not message then return nil end
  local once, ttl_ms, sent_ms = read_options(message[2])
  local ends_ms = end_of(sent_ms or added_ms(message[1]), ttl_ms)
  if only_expired == '1' and not (ends_ms and ends_ms <= now_ms) then return false end
  return message, ends_ms, once
end

local function delete_entry(message, ends_ms, once)
  if not message then return end
  local stream_id, field = message[1], seen_field(message[2][2], message[2][4])
  local names_it = once and remember(field, stream_id, ends_ms)
  -- the entry first: if the script stops after that, members that refer to it are void
  redis.call('XDEL', queue, stream_id)
  redis.call('XACK', queue, 'receivers', stream_id)
  if names_it then redis.call('HDEL', seen, field) end
  note(ends_ms)
end

local drop = {}

function drop.leases(member)
  local ends = redis.call('ZSCORE', leases, member)
  if not ends or tonumber(ends) > now_ms then return end
  local entry, receipt = read_lease(member)
  local message, ends_ms, once = find(entry)
  if message == false then return end
  leave_attempt(attempts, receipt)
  delete_entry(message, ends_ms, once)
  redis.call('ZREM', held, receipt)
  redis.call('ZREM', leases, member)
end

function drop.backed(member)
  if not redis.call('ZSCORE', backed, member) then return end
  local message, ends_ms, once = find((read_backed(member)))
  if message == false then return end
  delete_entry(message, ends_ms, once)
  redis.call('ZREM', backed, member)
end

function drop.queue(stream_id)
  -- an error, without [1], if somebody deleted the group by hand
  if redis.pcall('XPENDING', queue, 'receivers', stream_id, stream_id, 1)[1] then return end
  local message, ends_ms, once = find(stream_id)
  delete_entry(message, ends_ms, once)
end

function drop.delayed(member)
  if not redis.call('ZSCORE', delayed, member) then return end
  local stamp, saddr, id, ttl_ms, once = read_delayed(member)
  local ends_ms = end_of(stamp_ms(stamp), ttl_ms ~= '' and ttl_ms or nil)
  if only_expired == '1' and not (ends_ms and ends_ms <= now_ms) then return end
  local field = seen_field(saddr, id)
  local names_it = once ~= '' and remember(field, stamp, ends_ms)
  redis.call('ZREM', delayed, member)
  fewer, fewer_bytes = fewer + 1, fewer_bytes + weigh(member)
  if names_it then redis.call('HDEL', seen, field) end
  note(ends_ms)
end

function drop.dead(stream_id)
  deleted = deleted + redis.call('XDEL', dead, stream_id)
end

for _, target in ipairs(cjson.decode(targets)) do drop[target[1]](target[2]) end
if fewer > 0 then uncount_delayed(delayed, counts, fewer, fewer_bytes) end
-- XDEL leaves an empty stream behind
if redis.call('XLEN', dead) == 0 then redis.call('DEL', dead) end
if expired > 0 then redis.call('HINCRBY', counts, 'expired', expired) end
return { deleted, expired }
