#!lua flags=allow-oom
-- Frees messages that the receiver holds: for each id the earliest delivery with this id, or the delivery that a receipt names.
-- A message counts as held until it is redelivered, even when its lease has ended.
--
-- KEYS[1]  aizumi:{address}:queue   stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases  zset: delivery → when its lease ends, ms
-- KEYS[3]  aizumi:{address}:held    zset: receipt → message id
-- KEYS[4]  aizumi:{address}:seen    hash: saddr:id → digest and place of a message sent with dedup that lives
-- KEYS[5]  aizumi:{address}:ended0  hash: saddr:id → digest of a message sent with dedup that ended in an even window;
--          until: when the hash expires, ms
-- KEYS[6]  aizumi:{address}:ended1  hash: the same of odd windows
-- KEYS[7]  aizumi:{address}:settings  hash: ttl_ms, where this queue has one
-- KEYS[8]  aizumi:{address}:attempts  zset: receipt → number of its attempt; =attempt_id → that number plus how many asked
-- ARGV[1]  message ids, 0 … 2^53 − 1, separated by spaces
-- ARGV[2]  receipt, a member of held; '': none
-- ARGV[3]  window in which a message sent with dedup is remembered after its end, ms
-- Returns  the ids that are not held, a list; all other messages were freed
-- Errors   LEASE_LOST: no delivery of this id with this receipt is held; nothing was freed
local queue, leases, held, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ended0, ended1, settings, attempts = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local ids, receipt, window_ms = ARGV[1], ARGV[2], ARGV[3]
--@include members: read_receipt
--@include held: find_held

local missing = {}
local attempted = redis.call('EXISTS', attempts) == 1
for id in string.gmatch(ids, '%d+') do
  local member = find_held(held, id, receipt)
  if not member then
    if receipt ~= '' then return redis.error_reply('LEASE_LOST this delivery is not held') end
    missing[#missing + 1] = id
  else
    local entry, lease, suffix = read_receipt(member)
    local field, names_it
    if suffix ~= '' then
      --@include members: seen_field, read_seen, entry_of, read_options, added_ms
      field = seen_field(string.sub(suffix, 2), id)
      local digest, place = read_seen(redis.call('HGET', seen, field) or '')
      -- Once its time to live was over, a later message may have been sent with the same id, which may still be delayed.
      names_it = string.find(place, '^%d+%-%d+$') and entry_of(place) == entry
      if names_it then
        --@include ended: remember_ended
        local time = redis.call('TIME')
        local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
        -- there is no message if somebody deleted the entry by hand
        local message = redis.call('XRANGE', queue, entry, entry)[1] or { entry, {} }
        local _, ttl_ms, sent_ms = read_options(message[2])
        ttl_ms = ttl_ms or redis.call('HGET', settings, 'ttl_ms')
        local ended_ms = ttl_ms and math.min(now_ms, (sent_ms or added_ms(entry)) + ttl_ms) or now_ms
        remember_ended(ended0, ended1, window_ms, now_ms, ended_ms, field, digest)
      end
    end
    if attempted then
      --@include attempts: leave_attempt
      leave_attempt(attempts, member)
    end
    -- the entry first, so that a script that stops half-way has either freed the message or left it held
    redis.call('XDEL', queue, entry)
    redis.call('XACK', queue, 'receivers', entry)
    redis.call('ZREM', held, member)
    redis.call('ZREM', leases, lease)
    if names_it then redis.call('HDEL', seen, field) end
  end
end
return missing
