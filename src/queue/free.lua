#!lua flags=allow-oom
-- Ends the lives of messages that the receiver holds: for each id, of those with this id the one delivered first; or the
-- one delivery that a receipt names. It counts as held until somebody else gets it, even when its lease has ended.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases  zset: entry:stamp, or entry:stamp:saddr if sent once → when its lease ends, ms
-- KEYS[3]  aizumi:{address}:held    zset: stamp:entry, or stamp:entry:saddr if sent once → message id
-- KEYS[4]  aizumi:{address}:seen    hash: saddr:id → sha1 of the payload:entry, of messages sent once that live
-- KEYS[5]  aizumi:{address}:ended0  hash: saddr:id → sha1 of the payload, of messages sent once that ended in an even window;
--          until: when the hash expires, ms
-- KEYS[6]  aizumi:{address}:ended1  hash: the same of odd windows
-- KEYS[7]  aizumi:{address}:settings  hash: ttl_ms, where this queue has one
-- KEYS[8]  aizumi:{address}:attempts  zset: receipt → number of its attempt, a multiple of 1000; =attempt_id → that number plus how many ask
-- ARGV[1]  message ids, 0 … 2^53 − 1, with spaces in between
-- ARGV[2]  receipt, a member of held; '': none
-- ARGV[3]  window in which a message sent once is remembered after its end, ms
-- Returns  the ids that are not held, a list; all others are gone
-- Errors   LEASE_LOST: the receipt is of no delivery of this id that is held; nothing was freed
local queue, leases, held, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ended0, ended1, settings, attempts = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local ids, receipt, window_ms = ARGV[1], ARGV[2], ARGV[3]

local missing = {}
local attempted = redis.call('EXISTS', attempts) == 1
for id in string.gmatch(ids, '%d+') do
  local member
  if receipt == '' then
    member = redis.call('ZRANGE', held, id, id, 'BYSCORE', 'LIMIT', '0', '1')[1]
  else
    member = receipt
    if tonumber(redis.call('ZSCORE', held, receipt)) ~= tonumber(id) then
      return redis.error_reply('LEASE_LOST this delivery is not held')
    end
  end
  if not member then
    missing[#missing + 1] = id
  else
    local stamp, entry, suffix = string.sub(member, 1, 16), string.sub(member, 18, 41), string.sub(member, 42)
    local field, value
    if suffix ~= '' then
      field = string.sub(suffix, 2) .. ':' .. id
      value = redis.call('HGET', seen, field)
    end
    -- when its time to live was over, a later message may have been sent with its id; that one may still be delayed
    local ms, sequence = string.match(value and string.sub(value, 42) or '', '^(%d+)-(%d+)$')
    local names_it = ms and tonumber(ms) == tonumber(string.sub(entry, 1, 13))
      and tonumber(sequence) == tonumber(string.sub(entry, 15))
    if names_it then
      local time = redis.call('TIME')
      local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
      -- none when somebody deleted the entry by hand
      local message = redis.call('XRANGE', queue, entry, entry)[1] or { entry, {} }
      local fields, ttl_ms, sent_ms = message[2], redis.call('HGET', settings, 'ttl_ms'), string.sub(entry, 1, 13)
      for i = 7, #fields, 2 do
        if fields[i] == 'ttl' then ttl_ms = fields[i + 1] elseif fields[i] == 'sent' then sent_ms = fields[i + 1] end
      end
      local digest, ended_ms = string.sub(value, 1, 40), now_ms
      if ttl_ms then ended_ms = math.min(now_ms, sent_ms + ttl_ms) end
      -- what remembers is written before what deletes; windows of time use the two hashes by turns
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
    end
    local attempt = attempted and redis.call('ZSCORE', attempts, member)
    if attempt then
      -- the last delivery of an attempt takes its attempt_id with it
      local of = redis.call('ZRANGE', attempts, attempt, attempt + 999, 'BYSCORE', 'LIMIT', 0, 3)
      redis.call('ZREM', attempts, member, unpack(of[3] and {} or of))
    end
    -- the entry first: a script that stops half-way has freed the message, or left it held
    redis.call('XDEL', queue, entry)
    redis.call('XACK', queue, 'receivers', entry)
    redis.call('ZREM', held, member)
    redis.call('ZREM', leases, entry .. ':' .. stamp .. suffix)
    if names_it then redis.call('HDEL', seen, field) end
  end
end
return missing
