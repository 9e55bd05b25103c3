#!lua flags=no-writes
-- Reads a queue's messages in one state, a slice at a time (config/limits.ts), without leasing them.
--
-- KEYS[1]  aizumi:{address}:queue     stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases    zset: delivery → when its lease ends, ms; 0: it has ended
-- KEYS[3]  aizumi:{address}:delayed   zset: message that is not due yet → when it is due, ms
-- KEYS[4]  aizumi:{address}:backed    zset: entry given back with a delay → when it is due, ms
-- KEYS[5]  aizumi:{address}:dead      stream: messages delivered too often
-- KEYS[6]  aizumi:{address}:settings  hash: ttl_ms, where this queue has one
-- ARGV[1]  state: waiting, leased, delayed or dead
-- ARGV[2]  most messages to read, count
-- ARGV[3]  cursor, as an earlier call returned it; '': from the start
-- ARGV[4]  no more messages are read once payloads have this length together, bytes
-- ARGV[5]  1: payloads are returned, 0: '' instead
-- ARGV[6]  which messages: live; expired: those whose time to live is over and that are not leased; all
-- ARGV[7]  bound: messages that were sent later are left out. It is the bound that an earlier call returned; or now: the time of
--          this call; '': no bound
-- Returns  {cursor ('' at the end), how many were read, bound, …}, and for each message place, name, saddr, id, payload,
--          sent_ms, attempts, at_ms, cause: all in one list. place: the key it is in; name: its member or stream id there;
--          at_ms: when its lease ends, when it is due, or when it died; cause: why it died, otherwise ''. Fewer messages than
--          ARGV[2] do not mean the end
-- Errors   those of Redis only
--
-- The messages of a state are in several places, which are read one after the other. A cursor is PLACE.SCORE.MARK: the number of
-- the place, the score of the last member, and as much of that member's start as makes it unique, or the last stream id. So
-- messages that are added or removed meanwhile do not shift the others.
local queue, leases, delayed, backed, dead, settings = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local state, max, cursor, most_text, returns_payloads = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local which, bound = ARGV[6], ARGV[7]
--@include members: entry_of, read_options, read_delayed, stamp_ms, read_dead, added_ms

local READ_AT_ONCE = 8
local MARK_LENGTH = { leases = 41, backed = 24, delayed = 16 }
local KEY_OF = { leases = leases, backed = backed, delayed = delayed, queue = queue, dead = dead }
local PLACES = {
  waiting = { 'leases', 'backed', 'queue', 'delayed' }, leased = { 'leases' }, delayed = { 'delayed', 'backed' },
  dead = { 'dead' },
}

local time = redis.call('TIME')
local now_ms = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local queue_ttl_ms = redis.call('HGET', settings, 'ttl_ms')

-- The last id of the stream and the time, µs. Entries added later have a higher id, members of `delayed` a later time.
if bound == 'now' then
  local stream, last_id = state == 'dead' and dead or queue, '0-0'
  local info = redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'STREAM', stream) or {}
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last_id = info[i + 1] end end
  bound = last_id .. ' ' .. string.format('%016.0f', time[1] * 1000000 + time[2])
end
local last_id, last_stamp = string.match(bound, '^(%S+) (%d+)$')
local last_entry = last_id and entry_of(last_id)
local found, read, text, longest, at_once = { '', 0, bound }, 0, 0, 1, 0

-- How many to read: one, then four, then eight while messages are short, since Redis copies all that it reads, fitting or not
local function next_count()
  at_once = at_once == 0 and 1 or math.min(4 * at_once, READ_AT_ONCE, (most_text - text) / longest)
  at_once = math.max(1, math.floor(at_once))
  return math.min(at_once, max - read)
end

local function show(place, name, saddr, id, payload, sent_ms, attempts, at_ms, cause)
  local shown = returns_payloads == '1' and payload or ''
  for _, value in ipairs({ place, name, saddr, id, shown, sent_ms, attempts, at_ms, cause or '' }) do
    found[#found + 1] = value
  end
end

local function note_read(payload)
  text, longest = text + #payload, math.max(longest, #payload)
end

local function is_wanted(sent_ms, ttl_ms)
  if which == 'all' or state == 'leased' then return true end
  local is_over = ttl_ms and sent_ms + ttl_ms <= tonumber(now_ms) or false
  return is_over == (which == 'expired')
end

local function show_entry(place, name, stream_id, fields, attempts, at_ms)
  note_read(fields[6])
  local _, ttl_ms, sent_ms = read_options(fields)
  sent_ms = sent_ms or added_ms(stream_id)
  if is_wanted(sent_ms, ttl_ms or queue_ttl_ms) then
    show(place, name, fields[2], fields[4], fields[6], sent_ms, attempts, at_ms)
  end
end

local function show_member(place, member, score)
  if place == 'delayed' then
    local sent, saddr, id, ttl, _, _, payload_at = read_delayed(member)
    local sent_ms, payload = stamp_ms(sent), string.sub(member, payload_at)
    note_read(payload)
    if ttl == '' then ttl = queue_ttl_ms end
    local is_later = last_stamp and sent > last_stamp
    if not is_later and is_wanted(sent_ms, ttl) then show(place, member, saddr, id, payload, sent_ms, 0, score) end
    return
  end
  local entry = string.sub(member, 1, 24)
  if last_entry and entry > last_entry then return end
  local message = redis.call('XRANGE', queue, entry, entry)[1]
  -- nil if somebody deleted it, or the group, by hand
  local pending = message and redis.pcall('XPENDING', queue, 'receivers', entry, entry, 1)[1]
  if pending then show_entry(place, member, message[1], message[2], pending[4], score) end
end

-- Returns the rank of the first member after score and mark; members with the same score are sorted by their bytes
local function rank_behind(key, score, mark)
  local low = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local high = redis.call('ZCOUNT', key, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call('ZRANGE', key, middle, middle)[1]
    if string.sub(member, 1, #mark) <= mark then low = middle + 1 else high = middle end
  end
  return low
end

-- Both walks return the cursor's SCORE.MARK if they stopped early, nil if nothing is left in this place.
local function walk_times(place, score, mark)
  local key, is_due = KEY_OF[place], state == 'waiting'
  local due = redis.call('ZCOUNT', key, '-inf', now_ms)
  local first = is_due and 0 or due
  local last = is_due and due - 1 or redis.call('ZCARD', key) - 1
  if score then first = math.max(first, rank_behind(key, score, mark)) end
  while first <= last do
    local up_to = math.min(last, first + next_count() - 1)
    local members = redis.call('ZRANGE', key, first, up_to, 'WITHSCORES')
    for i = 1, #members, 2 do
      show_member(place, members[i], members[i + 1])
      read, first = read + 1, first + 1
      if read >= max or text >= most_text then
        return first <= last and members[i + 1] .. '.' .. string.sub(members[i], 1, MARK_LENGTH[place]) or nil
      end
    end
  end
end

local function show_dead(stream_id, fields)
  local of = read_dead(stream_id, fields)
  note_read(of.payload)
  show('dead', stream_id, of.saddr, of.id, of.payload, of.sent, of.deliveries, of.died_at_ms, of.cause)
end

local function last_delivered()
  local groups = redis.call('EXISTS', queue) == 1 and redis.call('XINFO', 'GROUPS', queue) or {}
  for _, group in ipairs(groups) do
    for i = 1, #group, 2 do if group[i] == 'last-delivered-id' then return group[i + 1] end end
  end
  return '0-0'
end

local function is_before(one, other)
  local ms, sequence = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_sequence = string.match(other, '^(%d+)-(%d+)$')
  if tonumber(ms) ~= tonumber(other_ms) then return tonumber(ms) < tonumber(other_ms) end
  return tonumber(sequence) < tonumber(other_sequence)
end

local function walk_stream(place, mark)
  local from, to = mark and string.match(mark, '^%d+-%d+$') or '0-0', last_id or '+'
  if place == 'queue' then
    local last = last_delivered()
    if is_before(from, last) then from = last end
  end
  while true do
    local wanted = next_count()
    local entries = redis.call('XRANGE', KEY_OF[place], '(' .. from, to, 'COUNT', wanted)
    for i = 1, #entries do
      from = entries[i][1]
      if place == 'dead' then show_dead(from, entries[i][2]) else show_entry(place, from, from, entries[i][2], 0, '') end
      read = read + 1
      if read >= max or text >= most_text then
        local has_more = i < #entries or redis.call('XRANGE', KEY_OF[place], '(' .. from, to, 'COUNT', 1)[1]
        return has_more and '0.' .. from or nil
      end
    end
    if #entries < wanted then return nil end
  end
end

local number, score, mark = string.match(cursor, '^(%d)%.(%d+)%.(.+)$')
local places = PLACES[state]
for i = tonumber(number or 1), #places do
  if read >= max or text >= most_text then
    found[1] = i .. '.0.0'
    break
  end
  local place, stopped = places[i], nil
  if place == 'queue' or place == 'dead' then stopped = walk_stream(place, mark) else stopped = walk_times(place, score, mark) end
  if stopped then
    found[1] = i .. '.' .. stopped
    break
  end
  score, mark = nil, nil
end
found[2] = read
return found
