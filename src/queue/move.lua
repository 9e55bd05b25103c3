#!lua
-- Moves dead messages back to the end of their queue while it has room. They count as never delivered, and keep the time at which
-- they were first sent.
--
-- KEYS[1]  aizumi:{address}:queue     stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:delayed   zset: messages that are not due yet; they count towards the queue's length
-- KEYS[3]  aizumi:{address}:dead      stream: messages delivered too often
-- KEYS[4]  aizumi:{address}:settings  hash: max_queue_length, where this queue has one of its own
-- ARGV[1]  JSON: ids in the dead stream
-- ARGV[2]  most messages the queue may hold, where it has no lower limit of its own, count
-- Returns  {how many were moved, 1 if the queue was full before the last of them, else 0}
-- Errors   those of Redis only
local queue, delayed, dead, settings = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local stream_ids, max_length = ARGV[1], ARGV[2]
--@include members: read_dead, options_of

max_length = math.min(max_length, redis.call('HGET', settings, 'max_queue_length') or max_length)
local room = max_length - redis.call('XLEN', queue) - redis.call('ZCARD', delayed)
if redis.call('EXISTS', queue) == 0 then redis.call('XGROUP', 'CREATE', queue, 'receivers', 0, 'MKSTREAM') end

local count, is_full = 0, 0
for _, stream_id in ipairs(cjson.decode(stream_ids)) do
  local message = redis.call('XRANGE', dead, stream_id, stream_id)[1]
  if message then
    if count >= room then
      is_full = 1
      break
    end
    local of = read_dead(stream_id, message[2])
    local added = redis.call('XADD', queue, '*', 'saddr', of.saddr, 'id', of.id, 'payload', of.payload,
      unpack(options_of('', '', of.sent, of.trace or '')))
    local done = redis.pcall('XDEL', dead, stream_id)
    if type(done) == 'table' then
      -- it must not be in both streams: the move is undone
      redis.pcall('XDEL', queue, added)
      error(done)
    end
    count = count + 1
  end
end
-- XDEL leaves an empty stream behind
if redis.call('XLEN', dead) == 0 then redis.call('DEL', dead) end
return { count, is_full }
