#!lua
-- Adds a message unless the same sender has already sent this id to this queue. An id is remembered while its message lives, and
-- for the window after it has ended. A message ends when it is freed, dropped or dead, or when its time to live is over,
-- whichever is first. A repeat writes too, so that a WAIT after it waits for what the first SEND wrote.
--
-- KEYS[1]  aizumi:{address}:queue     stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:delayed   zset: message that is not due yet → when it is due, ms
-- KEYS[3]  aizumi:{address}:settings  hash: max_queue_length, max_queue_bytes, ttl_ms, those that this queue has of its own
-- KEYS[4]  aizumi:{address}:seen      hash: saddr:id → digest and place of a message sent with dedup that lives
-- KEYS[5]  aizumi:{address}:ended0    hash: saddr:id → digest of a message sent with dedup that ended in an even window;
--          until: when the hash expires, ms
-- KEYS[6]  aizumi:{address}:ended1    hash: the same of odd windows
-- KEYS[7]  aizumi:{address}:counts    hash: delayed_bytes, delayed_count → what so many members of `delayed` take
-- ARGV[1]  most messages the queue may hold, where it has no lower limit of its own, count
-- ARGV[2]  saddr
-- ARGV[3]  message id
-- ARGV[4]  payload, JSON text
-- ARGV[5]  delay, ms; 0: none
-- ARGV[6]  time to live, ms; '': no end
-- ARGV[7]  traceparent; '': none
-- ARGV[8]  window, ms
-- ARGV[9]  most bytes the queue may take, where it has no lower limit of its own
-- ARGV[10]  bytes that the queue takes, as far as is known; full: it was measured just now and has no room; share: the client
--          has reached its limit of bytes
-- ARGV[11]  bytes that the message will take
-- ARGV[12]  1: the client may create a queue; 0: it has reached its limit
-- Returns  {the queue's length with the message, 0 for a repeat, and the most it may be}, counts; 1 if the queue is new, 0 if
--          not; 1 if the ids of its entries are ahead of the clock, 0 if not, -1: unknown; the most bytes it may take
-- Errors   QUEUE_FULL, QUEUE_BYTES, CLIENT_BYTES, CLIENT_QUEUES, ID_CONFLICT (sent before, other payload): nothing was added
local queue, delayed, settings, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ended0, ended1, counts = KEYS[5], KEYS[6], KEYS[7]
local max_length, saddr, id, payload, delay_ms, ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local trace, window_ms = ARGV[7], tonumber(ARGV[8])
local max_bytes, known_bytes, more_bytes, may_make = ARGV[9], ARGV[10], ARGV[11], ARGV[12]
--@include members: seen_field, seen_of, read_seen, delayed_place, read_delayed_place, delayed_of, stamp_ms
--@include members: options_of, read_options, added_ms
--@include delayed: weigh, count_delayed
--@include adding: make_room, add_entry

local own = redis.call('HMGET', settings, 'max_queue_length', 'ttl_ms', 'max_queue_bytes')
max_length, max_bytes = math.min(max_length, own[1] or max_length), math.min(max_bytes, own[3] or max_bytes)
local time = redis.call('TIME')
local stamp = time[1] * 1000000 + time[2]
local now_ms = math.floor(stamp / 1000)
local field, digest = seen_field(saddr, id), redis.sha1hex(payload)

-- when the time to live of a message is over, ms; nil: never
local function end_of(sent_ms, ttl)
  ttl = ttl or own[2]
  return ttl and sent_ms + ttl
end

-- Returns whether a message of `seen` is in the stream or in `delayed`, and when it ends. A message that somebody deleted by hand
-- does not count, since it was never delivered.
local function find(value)
  local old_digest, place = read_seen(value)
  local sent, ttl, old_trace = read_delayed_place(place)
  if sent then
    -- a message with another payload cannot be looked up; the id counts as taken, which is a conflict
    local is_there = old_digest ~= digest
      or redis.call('ZSCORE', delayed, delayed_of(sent, saddr, id, ttl, '1', old_trace, payload))
    return is_there, end_of(stamp_ms(sent), ttl ~= '' and ttl or nil)
  end
  local message = redis.call('XRANGE', queue, place, place)[1]
  if not message then return false end
  local _, old_ttl_ms, sent_ms = read_options(message[2])
  return true, end_of(sent_ms or added_ms(place), old_ttl_ms)
end

-- Returns the key that remembers this id, and its value: that of `seen` for a message that lives, otherwise the digest
local function sent_before()
  local value = redis.call('HGET', seen, field)
  if value then
    local is_there, ends_ms = find(value)
    -- one whose time to live is over is remembered as if it had been freed then
    if is_there and (not ends_ms or ends_ms > now_ms or (math.floor(ends_ms / window_ms) + 2) * window_ms > now_ms) then
      return seen, value
    end
  end
  for _, key in ipairs({ ended0, ended1 }) do
    local kept = redis.call('HMGET', key, 'until', field)
    if kept[2] and tonumber(kept[1] or 0) > now_ms then return key, kept[2] end
  end
end

local key, value = sent_before()
if key then
  if read_seen(value) ~= digest then return redis.error_reply('ID_CONFLICT this id was sent with another payload') end
  redis.call('HSET', key, field, value)
  return { 0, max_length, 0, -1, max_bytes }
end

local refusal, length, not_due, is_new =
  make_room(queue, delayed, max_length, max_bytes, known_bytes, more_bytes, may_make)
if refusal then return refusal end
local is_ahead = -1
if delay_ms == 0 then
  local stream_id
  stream_id, is_ahead = add_entry(queue, string.format('%d', now_ms), saddr, id, payload, 1, ttl_ms, trace)
  local done = redis.pcall('HSET', seen, field, seen_of(digest, stream_id))
  if type(done) == 'table' then
    -- it must not stay in the queue, where a repeat would add it a second time
    redis.pcall('XDEL', queue, stream_id)
    error(done)
  end
else
  local sent, due_ms = string.format('%016d', stamp), string.format('%d', now_ms + delay_ms)
  -- remembered before it is added: an id in `seen` without its message in `delayed` does not count
  redis.call('HSET', seen, field, seen_of(digest, delayed_place(sent, ttl_ms, trace)))
  local member = delayed_of(sent, saddr, id, ttl_ms, '1', trace, payload)
  redis.call('ZADD', delayed, due_ms, member)
  count_delayed(counts, not_due, weigh(member))
end
return { length + 1, max_length, is_new, is_ahead, max_bytes }
