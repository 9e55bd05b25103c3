#!lua flags=allow-oom
-- Deletes messages that peek.lua found, as far as they are still where it found them and nobody has received them since.
--
-- KEYS[1]  aizumi:{address}:queue    stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases   zset: entry:stamp, or entry:stamp:saddr if sent once → when its lease ends, ms; 0: ended
-- KEYS[3]  aizumi:{address}:held     zset: stamp:entry, or stamp:entry:saddr if sent once → message id
-- KEYS[4]  aizumi:{address}:delayed  zset: stamp:saddr:id:ttl:once;trace:payload of messages not yet due → when they are, ms
-- KEYS[5]  aizumi:{address}:backed   zset: entry, or entry:saddr if sent once, given back with a delay → when it is due, ms
-- KEYS[6]  aizumi:{address}:dead     stream: messages delivered too often
-- KEYS[7]  aizumi:{address}:seen     hash: saddr:id → sha1 of the payload:entry, of messages sent once that live
-- KEYS[8]  aizumi:{address}:ended0   hash: saddr:id → sha1 of the payload, of messages sent once that ended in an even window;
--          until: when the hash expires, ms
-- KEYS[9]  aizumi:{address}:ended1   hash: the same of odd windows
-- KEYS[10]  aizumi:{address}:settings  hash: ttl_ms, where this queue has one
-- KEYS[11]  aizumi:{address}:attempts  zset: receipt → number of its attempt, a multiple of 1000; =attempt_id → that number plus how many ask
-- KEYS[12]  aizumi:{address}:counts  hash: expired → messages thrown away
-- ARGV[1]  JSON: [[place, name], …] as peek.lua returns them
-- ARGV[2]  window in which a message sent once is remembered after its end, ms
-- ARGV[3]  1: only those whose time to live is over, 0: all
-- Returns  {how many were deleted, how many were thrown away because their time to live was over}, counts
-- Errors   those of Redis only
local queue, leases, held, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local backed, dead, seen, ended0 = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local ended1, settings, attempts, counts = KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local targets, window_ms, only_expired = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local queue_ttl_ms = redis.call('HGET', settings, 'ttl_ms')
local deleted, expired = 0, 0

-- As in free.lua: if `seen` has this field for the message of this name, its stream id or when it was sent to `delayed`, its
-- id is remembered. ends_ms: when its time to live is over, nil: never. Returns whether it has; then the field is to go, after
-- the message
local function remember(field, name, ends_ms)
  local value = redis.call('HGET', seen, field)
  if not value or string.sub(value .. ':', 42, 42 + #name) ~= name .. ':' then return false end
  local digest, ended_ms = string.sub(value, 1, 40), math.min(now_ms, ends_ms or now_ms)
  local number = math.floor(ended_ms / window_ms)
  local memory, until_ms = number % 2 == 0 and ended0 or ended1, (number + 2) * window_ms
  if until_ms > tonumber(now_ms) then
    local kept_until_ms, a_day_ms = tonumber(redis.call('HGET', memory, 'until') or 0), 86400000
    -- Up to now: it is of an older window, and over. Another: the clock was set back or the window's length was changed;
    -- what it has is kept, a day at most.
    if kept_until_ms <= tonumber(now_ms) then redis.call('UNLINK', memory) end
    until_ms = math.min(math.max(kept_until_ms, until_ms), until_ms + a_day_ms)
    redis.call('HSET', memory, 'until', string.format('%d', until_ms), field, digest)
    redis.call('PEXPIREAT', memory, string.format('%d', until_ms))
  end
  return true
end

local function end_of(sent_ms, ttl_ms)
  ttl_ms = ttl_ms or queue_ttl_ms
  return ttl_ms and sent_ms + ttl_ms or nil
end

local function note(ends_ms)
  if ends_ms and ends_ms <= now_ms then expired = expired + 1 else deleted = deleted + 1 end
end

-- Returns the message, when it ends, and its fields by name; false: it stays where it is; nil: it is not there, and what is
-- left of it elsewhere is void
local function find(entry)
  local message = redis.call('XRANGE', queue, entry, entry)[1]
  if not message then return nil end
  local of = {}
  for i = 1, #message[2], 2 do of[message[2][i]] = message[2][i + 1] end
  local ends_ms = end_of(of.sent or string.match(message[1], '^%d+'), of.ttl)
  if only_expired == '1' and not (ends_ms and ends_ms <= now_ms) then return false end
  return message, ends_ms, of
end

local function delete_entry(message, ends_ms, of)
  if not message then return end
  local stream_id, field = message[1], of.saddr .. ':' .. of.id
  local names_it = of.once and remember(field, stream_id, ends_ms)
  -- the entry first: what is left of it elsewhere is void
  redis.call('XDEL', queue, stream_id)
  redis.call('XACK', queue, 'receivers', stream_id)
  if names_it then redis.call('HDEL', seen, field) end
  note(ends_ms)
end

local drop = {}

function drop.leases(member)
  local ends = redis.call('ZSCORE', leases, member)
  if not ends or tonumber(ends) > now_ms then return end
  local entry, stamp = string.sub(member, 1, 24), string.sub(member, 26, 41)
  local message, ends_ms, of = find(entry)
  if message == false then return end
  local receipt = stamp .. ':' .. entry .. string.sub(member, 42)
  local number = redis.call('ZSCORE', attempts, receipt)
  if number then
    -- the last delivery of an attempt takes its attempt_id with it
    local of_it = redis.call('ZRANGE', attempts, number, number + 999, 'BYSCORE', 'LIMIT', 0, 3)
    redis.call('ZREM', attempts, receipt, unpack(of_it[3] and {} or of_it))
  end
  delete_entry(message, ends_ms, of)
  redis.call('ZREM', held, receipt)
  redis.call('ZREM', leases, member)
end

function drop.backed(member)
  if not redis.call('ZSCORE', backed, member) then return end
  local message, ends_ms, of = find(string.sub(member, 1, 24))
  if message == false then return end
  delete_entry(message, ends_ms, of)
  redis.call('ZREM', backed, member)
end

function drop.queue(stream_id)
  -- an error, without [1], where somebody deleted the group by hand
  if redis.pcall('XPENDING', queue, 'receivers', stream_id, stream_id, 1)[1] then return end
  local message, ends_ms, of = find(stream_id)
  delete_entry(message, ends_ms, of)
end

function drop.delayed(member)
  if not redis.call('ZSCORE', delayed, member) then return end
  local sent, saddr, id, ttl, once = string.match(member, '^(%d+):(%d+):(%d+):(%d*):(%d*);?[%x-]*:')
  local ends_ms = end_of(string.sub(sent, 1, 13), ttl ~= '' and ttl or nil)
  if only_expired == '1' and not (ends_ms and ends_ms <= now_ms) then return end
  local field = saddr .. ':' .. id
  local names_it = once ~= '' and remember(field, sent, ends_ms)
  redis.call('ZREM', delayed, member)
  if names_it then redis.call('HDEL', seen, field) end
  note(ends_ms)
end

function drop.dead(stream_id)
  deleted = deleted + redis.call('XDEL', dead, stream_id)
end

for _, target in ipairs(cjson.decode(targets)) do drop[target[1]](target[2]) end
-- a stream that is empty would stay
if redis.call('XLEN', dead) == 0 then redis.call('DEL', dead) end
if expired > 0 then redis.call('HINCRBY', counts, 'expired', expired) end
return { deleted, expired }
