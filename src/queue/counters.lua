#!lua flags=no-writes
-- Reads a queue's counters, which only grow, and their last sample, from which GET /queues computes rates.
--
-- XINFO STREAM copies the first and the last message, which takes 1.4 ms each if they have 1 MB, so XINFO GROUPS is called first.
-- Unless some were deleted unread, the entries that the group has read and those it has still to read are all that were ever
-- added.
--
-- KEYS[1]  aizumi:{address}:queue    stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:delayed  zset: message that is not due yet → when it is due, ms
-- KEYS[3]  aizumi:{address}:sample   hash: the counters as GET /queues saw them last
-- Returns  {now in ms, messages ever sent, ever delivered for the first time, -1: unknown, ever removed from the
--          queue, sample as a flat list of names and values}
-- Errors   those of Redis only
local queue, delayed, sample = KEYS[1], KEYS[2], KEYS[3]

local time = redis.call('TIME')
local added, read = 0, 0
if redis.call('EXISTS', queue) == 1 then
  local group, groups = {}, redis.call('XINFO', 'GROUPS', queue)
  for i = 1, #(groups[1] or {}), 2 do group[groups[1][i]] = groups[1][i + 1] end
  -- false while Redis does not know them, for example before the first delivery
  local entries_read, lag = group['entries-read'], group['lag']
  if entries_read and lag then
    added = entries_read + lag
  else
    local info = redis.call('XINFO', 'STREAM', queue)
    for i = 1, #info, 2 do if info[i] == 'entries-added' then added = info[i + 1] end end
  end
  if group['last-delivered-id'] ~= '0-0' then read = entries_read or -1 end
end
return {
  time[1] * 1000 + math.floor(time[2] / 1000), added + redis.call('ZCARD', delayed), read, added - redis.call('XLEN', queue),
  redis.call('HGETALL', sample),
}
