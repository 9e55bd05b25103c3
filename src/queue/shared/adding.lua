-- What send.lua and send-once.lua have in common.

-- Refuses a message for which there is no room; otherwise creates the queue if there is none. Limits and lengths are counts of
-- messages or bytes, as in ARGV of the two scripts.
-- Returns  an error reply, or nil, length of the queue without the message, how many of these are delayed, 1 if the queue is new
local function make_room(queue_key, delayed_key, max_length, max_bytes, known_bytes, more_bytes, may_make)
  local entries = redis.call('XLEN', queue_key)
  local not_due = redis.call('ZCARD', delayed_key)
  local length = entries + not_due
  if length >= max_length then return redis.error_reply('QUEUE_FULL the queue holds ' .. length .. ' messages') end
  if known_bytes == 'full' then return redis.error_reply('QUEUE_BYTES the queue was full just now') end
  if known_bytes == 'share' then return redis.error_reply('CLIENT_BYTES the client has stored as many as it may') end
  local is_new = entries == 0 and redis.call('EXISTS', queue_key) == 0 and 1 or 0
  if is_new == 1 and may_make == '0' then
    return redis.error_reply('CLIENT_QUEUES the client has made as many as it may')
  end
  if known_bytes + more_bytes > max_bytes then
    return redis.error_reply('QUEUE_BYTES ' .. string.format('%.0f of %.0f', known_bytes, max_bytes))
  end
  if is_new == 1 then redis.call('XGROUP', 'CREATE', queue_key, 'receivers', 0, 'MKSTREAM') end
  return nil, length, not_due, is_new
end

-- Adds an entry to the stream. Needs options_of.
-- Returns  its stream id, and 1 if the ids of the stream are ahead of the clock, otherwise 0
local function add_entry(queue_key, now_ms, saddr, id, payload, once, ttl_ms, trace)
  -- If the clock was set back and the last entry's id is ahead of it, Redis refuses an id with this time: then the id cannot hold
  -- the time at which the message was sent, and the entry has a field for it.
  local stream_id = redis.pcall('XADD', queue_key, now_ms .. '-*', 'saddr', saddr, 'id', id, 'payload', payload,
    unpack(options_of(once, ttl_ms, '', trace)))
  if type(stream_id) ~= 'table' then return stream_id, 0 end
  return redis.call('XADD', queue_key, '*', 'saddr', saddr, 'id', id, 'payload', payload,
    unpack(options_of(once, ttl_ms, now_ms, trace))), 1
end
