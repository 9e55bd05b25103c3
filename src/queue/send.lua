#!lua
-- Adds a message where the plain XADD of send.ts is not enough: the queue is new, may be full, or the message is delayed.
--
-- KEYS[1]  aizumi:{address}:queue     stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:delayed   zset: message that is not due yet → when it is due, ms
-- KEYS[3]  aizumi:{address}:settings  hash: max_queue_length, max_queue_bytes, those that this queue has of its own
-- KEYS[4]  aizumi:{address}:counts    hash: delayed_bytes, delayed_count → what so many members of `delayed` take
-- ARGV[1]  most messages the queue may hold, where it has no lower limit of its own, count
-- ARGV[2]  saddr
-- ARGV[3]  message id
-- ARGV[4]  payload, JSON text
-- ARGV[5]  delay, ms; 0: none
-- ARGV[6]  time to live, ms; '': no end
-- ARGV[7]  traceparent; '': none
-- ARGV[8]  most bytes the queue may take, where it has no lower limit of its own
-- ARGV[9]  bytes that the queue takes, as far as is known; full: it was measured just now and has no room; share: the client
--          has reached its limit of bytes
-- ARGV[10]  bytes that the message will take
-- ARGV[11]  1: the client may create a queue; 0: it has reached its limit
-- Returns  {the queue's length with the message, the most it may be}, counts; 1 if the queue is new, 0 if not; 1 if the ids of
--          its entries are ahead of the clock, 0 if not, -1: unknown; the most bytes it may take
-- Errors   QUEUE_FULL, QUEUE_BYTES, CLIENT_BYTES, CLIENT_QUEUES: nothing was added
local queue, delayed, settings, counts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local max_length, saddr, id, payload, delay_ms, ttl_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local trace, max_bytes, known_bytes, more_bytes, may_make = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
--@include members: options_of
--@include adding: make_room, add_entry

local own = redis.call('HMGET', settings, 'max_queue_length', 'max_queue_bytes')
max_length, max_bytes = math.min(max_length, own[1] or max_length), math.min(max_bytes, own[2] or max_bytes)
local refusal, length, not_due, is_new =
  make_room(queue, delayed, max_length, max_bytes, known_bytes, more_bytes, may_make)
if refusal then return refusal end

local time, is_ahead = redis.call('TIME'), -1
local stamp = time[1] * 1000000 + time[2]
local now_ms = math.floor(stamp / 1000)
if delay_ms == 0 then
  local _
  _, is_ahead = add_entry(queue, string.format('%d', now_ms), saddr, id, payload, '', ttl_ms, trace)
else
  --@include members: delayed_of
  --@include delayed: weigh, count_delayed
  local due_ms, member = string.format('%d', now_ms + delay_ms), nil
  repeat
    member = delayed_of(string.format('%016d', stamp), saddr, id, ttl_ms, '', trace, payload)
    -- the stamp is increased until it is unique, so that two identical messages stay two
    stamp = stamp + 1
  until redis.call('ZADD', delayed, 'NX', due_ms, member) == 1
  count_delayed(counts, not_due, weigh(member))
end
return { length + 1, max_length, is_new, is_ahead, max_bytes }
