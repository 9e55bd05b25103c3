#!lua flags=allow-oom
-- Leases the next messages of a queue: first those whose lease has ended, in the queue's order, then new ones.
-- One call is one slice of a RECV (config/limits.ts): ARGV[4], ARGV[7] and ARGV[8] bound its work, ARGV[10] its reply.
-- A message that does not fit stays where it is.
-- Before that, messages that were sent or returned with a delay and are due join the queue. A message whose time to live is
-- over is deleted; one that was delivered too often is moved to the dead stream.
-- allow-oom: only RECV and FREE can empty a Redis that is short of memory.
--
-- Redis does not roll back a script that fails half-way. So writes are in an order that leaves a message where a later RECV finds
-- it: in `leases` or `backed`, or pending in the group and in neither, which is repaired below.
--
-- KEYS[1]  aizumi:{address}:queue     stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases    zset: delivery → when its lease ends, ms; 0: it has ended
-- KEYS[3]  aizumi:{address}:held      zset: receipt → message id
-- KEYS[4]  aizumi:{address}:delayed   zset: message that is not due yet → when it is due, ms
-- KEYS[5]  aizumi:{address}:backed    zset: entry given back with a delay → when it is due, ms
-- KEYS[6]  aizumi:{address}:dead      stream: messages delivered too often
-- KEYS[7]  aizumi:{address}:seen      hash: saddr:id → digest and place of a message sent with dedup that lives
-- KEYS[8]  aizumi:{address}:settings  hash: visibility_timeout_ms, max_deliveries, ttl_ms, as far as this queue has its own
-- KEYS[9]  aizumi:{address}:counts    hash: expired → messages whose time to live was over when they were deleted; checked →
--          how far the repair of pending entries has come; delayed_bytes, delayed_count → what so many members of `delayed` take
-- KEYS[10]  aizumi:{address}:attempts  zset: receipt → number of its attempt: when it began, µs, a multiple of 1000; =attempt_id
--          → that number plus how many asked
-- KEYS[11]  aizumi:{address}:ended0  hash: saddr:id → digest of a message sent with dedup that ended in an even window;
--          until: when the hash expires, ms
-- KEYS[12]  aizumi:{address}:ended1  hash: the same of odd windows
-- ARGV[1]  visibility timeout, where neither the request nor the queue has one, ms
-- ARGV[2]  most deliveries of one message, where the queue has no limit of its own, count
-- ARGV[3]  window in which a message sent with dedup is remembered after its end, ms
-- ARGV[4]  most messages to take, count
-- ARGV[5]  visibility timeout that the request asks for, ms; '': none
-- ARGV[6]  attempt_id of the request; '': none
-- ARGV[7]  no more messages are taken once their payloads have this length together, bytes
-- ARGV[8]  slice: most messages that a call processes, count
-- ARGV[9]  continuation of a request that earlier calls have begun: the number of its attempt; and, while messages that the
--          attempt already has are returned again, how many were returned and the last receipt, separated by spaces. '': none.
--          It begins with `full` while Redis is short of memory: then a new attempt is not remembered
-- ARGV[10]  room for the messages that it returns, bytes
-- ARGV[11]  what a message takes of that room beside its payload, bytes
-- ARGV[12]  most messages that an attempt with this attempt_id may already have, count: if it has more, none is returned
-- Returns  {again_ms, …}, and for each message saddr, id, payload, receipt, attempt, sent_ms, lease_until_ms,
--          trace (the traceparent, '' without one): all in one list. Up to three values follow:
--          - none, if no message died, without an attempt and with room for all
--          - how many messages were moved to the dead stream
--          - with a remembered attempt always two: ARGV[9] for the next call, and that number
--          - three, of which the first may be '', if the call stopped before a message for which there is no room: the last is
--            what that message takes, bytes; or -1: the attempt has more messages than ARGV[12]
--          again_ms: 0: call again at once, since the call stopped at its bound or has written something; without messages: in
--          how many ms something falls due by itself; -1: nothing will, or there are no more messages
-- Errors   those of Redis only
--
-- shared/members.lua describes the members. `leases` sorts by age of the message, `held` by time of delivery.
-- An attempt is what a RECV with an attempt_id has taken. Whatever ends a delivery removes its receipt from `attempts`, and the
-- last one removes the attempt_id too. Requests for an attempt are counted up to 999. The oldest attempts are forgotten.
local queue, leases, held, delayed, backed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local dead, seen, settings, counts, attempts = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local ended0, ended1 = KEYS[11], KEYS[12]
local visibility_timeout_ms, max_deliveries, window_ms = ARGV[1], ARGV[2], ARGV[3]
local max, requested_timeout_ms, attempt_id = tonumber(ARGV[4]), ARGV[5], ARGV[6]
local most_text, slice, continuation = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local room, envelope, most_again = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])

-- Entries are read one, then four, then eight at a time while they are short: Redis copies all that it reads, fitting or not.
-- Sorting in a lease that has ended costs less than a quarter of what processing a message costs.
local READ_AT_ONCE, MOST_ENDED = 8, 4 * slice
-- Bounds of the repair at the end: members with one id that it reads for each pending entry, and in all; and how long it pauses,
-- ms, after it has checked all entries and found nothing.
local MOST_ALIKE, MOST_READ, CHECK_AGAIN_MS = 1000, 1000, 10000
-- how long an attempt is remembered, ms, and how many members `attempts` may have
local REMEMBERED_MS, MOST_REMEMBERED = 300000, 20000

-- Each RECV pays some 50 ns for each function on this level. So other functions are defined in the branches that need them, and
-- those that several branches need are made by this one.
local function rare()
  --@include members: read_receipt, read_lease, backed_of, seen_field, read_seen, seen_of, seen_names
  return {
    read_receipt = read_receipt, read_lease = read_lease, backed_of = backed_of,
    seen_field = seen_field, read_seen = read_seen, seen_of = seen_of, seen_names = seen_names,
  }
end
--@include members: entry_of, delivery_of, read_options

-- Numbers are passed to Redis as text: formatting Lua numbers as floating point would take a tenth of this script's time.
local time = redis.call('TIME')
local micros = string.sub('00000' .. time[2], -6)
local stamp = time[1] .. micros
-- a clock before September 2001 has fewer digits
if #stamp < 16 then stamp = string.sub('000000000' .. stamp, -16) end
local now_ms = time[1] .. string.sub(micros, 1, 3)
-- the reply, once there is a message
local found
local taken, text, discarded, died, wrote = 0, 0, 0, 0, false
-- the part of the slice that is done, counted in messages
local work = 0
-- bytes that the next message takes, if there is no room for it
local needed
-- whether `attempts` has anything: checked once, for the first message that is redelivered
local attempted

-- number of the attempt that this RECV belongs to; nil: none, or a new one
local number, attempt
if attempt_id ~= '' then
  --@include members: attempt_of
  local read_receipt = rare().read_receipt
  attempt = attempt_of(attempt_id)
  local asked = tonumber(redis.call('ZSCORE', attempts, attempt))
  local of, returned, reached = string.match(continuation, '(%d+) ?(%d*) ?(.*)$')
  number = asked and asked - asked % 1000
  -- The attempt is over, or another request has asked for it since and received its messages: no more are taken.
  if of and (number ~= tonumber(of) or reached == '' and asked - number > 1) then return { -1, continuation, 0 } end
  if asked and not of and number < (now_ms - REMEMBERED_MS) * 1000 then
    redis.call('ZREMRANGEBYSCORE', attempts, number, asked)
    asked, number = nil, nil
  end
  if asked and (not of or reached ~= '') then
    -- returns the same messages again, if they are still leased to that attempt
    if not of and redis.call('ZCOUNT', attempts, number, number) > most_again then return { 0, '', 0, -1 } end
    found, returned, reached = { -1 }, tonumber(returned) or 0, reached or ''
    local returned_before, checked, is_end = returned, 0, true
    for _, receipt in ipairs(redis.call('ZRANGE', attempts, number, number, 'BYSCORE')) do
      if checked >= slice or text >= most_text then
        is_end = false
        break
      elseif receipt > reached then
        local last_returned = reached
        checked, reached = checked + 1, receipt
        local entry, lease = read_receipt(receipt)
        local ends = redis.call('ZSCORE', leases, lease)
        local message = ends and tonumber(ends) > tonumber(now_ms) and redis.call('XRANGE', queue, entry, entry)[1]
        -- nil if somebody acknowledged it or recreated the group by hand
        local pending = message and redis.pcall('XPENDING', queue, 'receivers', entry, entry, 1)[1]
        local fields = pending and message[2]
        if pending and #fields[6] + envelope > room then
          reached, needed, is_end = last_returned, #fields[6] + envelope, false
          break
        elseif pending then
          local _, _, sent_ms, trace = read_options(fields)
          sent_ms = sent_ms or string.sub(entry, 1, 13)
          for _, value in ipairs({ fields[2], fields[4], fields[6], receipt, pending[4], sent_ms, ends, trace or '' }) do
            table.insert(found, value)
          end
          returned, text, room = returned + 1, text + #fields[6], room - #fields[6] - envelope
        end
      end
    end
    -- a request is counted once, with the first message that it receives
    if returned > 0 and returned_before == 0 and asked % 1000 < 999 then redis.call('ZADD', attempts, asked + 1, attempt) end
    if returned > 0 or not is_end then
      found[1] = is_end and -1 or 0
      table.insert(found, string.format('%d %d %s', number, returned, reached))
      table.insert(found, 0)
      table.insert(found, needed)
      return found
    end
    -- its leases have ended: the attempt is over
    redis.call('ZREMRANGEBYSCORE', attempts, number, asked)
    number = nil
  end
end

local ttl_ms
-- most queues have none of these: one EXISTS checks all three
local has_more = redis.call('EXISTS', delayed, backed, settings) > 0
if has_more then
  local own = redis.call('HMGET', settings, 'visibility_timeout_ms', 'max_deliveries', 'ttl_ms')
  visibility_timeout_ms, max_deliveries, ttl_ms = own[1] or visibility_timeout_ms, own[2] or max_deliveries, own[3]
  --@include members: read_delayed, stamp_ms, options_of, read_backed
  --@include delayed: weigh, uncount_delayed
  -- messages that were sent with a delay and are due become entries
  local due, due_text, longest, at_once = nil, 0, 1, 1
  local fewer, fewer_bytes, dedup = 0, 0, rare()
  repeat
    due = redis.call('ZRANGE', delayed, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, at_once)
    if #due > 0 and redis.call('EXISTS', queue) == 0 then
      -- the stream was deleted by hand
      redis.call('XGROUP', 'CREATE', queue, 'receivers', 0, 'MKSTREAM')
    end
    for _, member in ipairs(due) do
      local sent, saddr, id, ttl, once, trace, payload_at = read_delayed(member)
      local options, field = options_of(once, ttl, stamp_ms(sent), trace), dedup.seen_field(saddr, id)
      -- after its time to live a later message may have been sent with its id: then `seen` names that one
      local done, value = nil, once ~= '' and redis.call('HGET', seen, field)
      local names_it = value and dedup.seen_names(value, sent)
      local payload = string.sub(member, payload_at)
      local stream_id = redis.call('XADD', queue, '*', 'saddr', saddr, 'id', id, 'payload', payload, unpack(options))
      if names_it then done = redis.pcall('HSET', seen, field, dedup.seen_of((dedup.read_seen(value)), stream_id)) end
      -- by rank, since it is the first, and its text may be long
      if type(done) ~= 'table' then done = redis.pcall('ZREMRANGEBYRANK', delayed, 0, 0) end
      if type(done) == 'table' then
        -- it must not be in both: the move is undone
        redis.pcall('XDEL', queue, stream_id)
        if names_it then redis.pcall('HSET', seen, field, value) end
        error(done)
      end
      due_text, longest = due_text + #member, math.max(longest, #member)
      fewer, fewer_bytes = fewer + 1, fewer_bytes + weigh(member)
    end
    work = work + #due
    local is_end = #due < at_once
    at_once = math.max(1, math.min(4 * at_once, READ_AT_ONCE, slice - work, math.floor((most_text - due_text) / longest)))
  until is_end or work >= slice or due_text >= most_text
  if fewer > 0 then uncount_delayed(delayed, counts, fewer, fewer_bytes) end
  -- messages that were returned with a delay and are due become leases that have ended
  local back = redis.call('ZRANGE', backed, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, MOST_ENDED + 1)
  if #back > 0 then
    local ended = {}
    for i, member in ipairs(back) do
      local _, lease = delivery_of(stamp, read_backed(member))
      ended[2 * i - 1], ended[2 * i] = 0, lease
    end
    redis.call('ZREMRANGEBYRANK', backed, 0, #back - 1)
    redis.call('ZADD', leases, unpack(ended))
    work = work + #back / 4
  end
  -- an older message may be among the rest: none is returned before all that are due have joined
  if #back > MOST_ENDED then max, wrote = 0, true end
end
if requested_timeout_ms ~= '' then visibility_timeout_ms = requested_timeout_ms end
local lease_until_ms = string.format('%d', now_ms + visibility_timeout_ms)

local is_redelivery = redis.call('ZRANGE', leases, '0', now_ms, 'BYSCORE', 'LIMIT', '0', '1')[1]
if is_redelivery then
  if redis.call('EXISTS', queue) == 0 then
    -- the stream was deleted by hand: members that refer to its messages are void
    redis.call('DEL', leases, held, backed, attempts)
    wrote = true
  end
  -- score 0 puts all leases that have ended into one run, sorted by their members: in the order of the queue
  local ended = redis.call('ZRANGE', leases, '(0', now_ms, 'BYSCORE', 'LIMIT', 0, MOST_ENDED + 1)
  if ended[1] then
    local run = {}
    for i, member in ipairs(ended) do run[2 * i - 1], run[2 * i] = 0, member end
    redis.call('ZADD', leases, unpack(run))
    work = work + #ended / 4
  end
  -- as above: an older message may be among the rest
  if #ended > MOST_ENDED then max, wrote = 0, true end
end

-- for Redis a message is delivered when XREADGROUP has returned it: each of them must be processed
local new, next_new, at_once, longest, is_end = nil, 1, 1, 1, false
while (new and new[next_new])
  or (not needed and taken < max and text < most_text and (work < slice or taken + discarded == 0)) do
  local message, attempt_number
  if is_redelivery then
    local member = redis.call('ZRANGE', leases, 0, 0, 'BYSCORE', 'LIMIT', 0, 1)[1]
    if member then
      local entry, receipt = rare().read_lease(member)
      local pending = redis.call('XPENDING', queue, 'receivers', entry, entry, 1)[1]
      message = redis.call('XCLAIM', queue, 'receivers', 'aizumi', 0, entry)[1]
      if message and #message[2][6] + envelope > room then
        -- there is no room for it: its delivery is undone
        redis.call('XCLAIM', queue, 'receivers', 'aizumi', 0, entry, 'RETRYCOUNT', pending[4], 'JUSTID')
        message, needed = nil, #message[2][6] + envelope
      else
        if attempted == nil then attempted = redis.call('EXISTS', attempts) == 1 end
        if attempted then
          --@include attempts: leave_attempt
          leave_attempt(attempts, receipt)
        end
        redis.call('ZREM', held, receipt)
        redis.call('ZREM', leases, member)
        if message then attempt_number = pending[4] + 1
        -- somebody deleted the entry by hand
        else discarded = discarded + 1 end
      end
    else
      is_redelivery = false
    end
  elseif new and new[next_new] then
    message, attempt_number, next_new = new[next_new], 1, next_new + 1
  else
    local count = '1'
    if max > 1 and new then
      at_once = math.min(4 * at_once, READ_AT_ONCE, max - taken, slice - work, (most_text - text) / longest,
        room / (longest + envelope))
      at_once = math.max(1, math.floor(at_once))
      count = string.format('%d', at_once)
    end
    local reply = redis.pcall('XREADGROUP', 'GROUP', 'receivers', 'aizumi', 'COUNT', count, 'STREAMS', queue, '>')
    if not reply then
      is_end = true
      break
    end
    if not reply.err then
      new, next_new = reply[1][2], 1
    else
      -- There is no such queue, or a stream without its group, which was made or restored by hand: then it gets one.
      if string.sub(reply.err, 1, 7) ~= 'NOGROUP' then error(reply) end
      if redis.call('EXISTS', queue) == 0 then
        is_end = true
        break
      end
      redis.call('XGROUP', 'CREATE', queue, 'receivers', 0)
      wrote = true
    end
  end

  if message then
    local stream_id, fields = message[1], message[2]
    local entry, suffix = entry_of(stream_id), ''
    local once, ttl, sent_ms, trace = read_options(fields)
    if once then suffix = ':' .. fields[2] end
    ttl, sent_ms, trace = ttl or ttl_ms, sent_ms or string.sub(entry, 1, 13), trace or ''
    local expired = ttl and sent_ms + ttl <= tonumber(now_ms)
    local is_alive = not expired and attempt_number <= tonumber(max_deliveries)
    work = work + 1
    local size = #fields[6] + envelope
    if is_alive then
      local receipt, lease = delivery_of(stamp, entry, suffix)
      if size > room or needed or text >= most_text then
        -- There is no room for it, or it was read after one that left none: its delivery is undone, and it is delivered next.
        if size > room then needed = needed or size end
        redis.call('XCLAIM', queue, 'receivers', 'aizumi', 0, entry, 'RETRYCOUNT', 0, 'JUSTID')
        redis.call('ZADD', leases, 0, lease)
      else
        redis.call('ZADD', held, fields[4], receipt)
        redis.call('ZADD', leases, lease_until_ms, lease)
        if taken == 0 then
          found = { -1, fields[2], fields[4], fields[6], receipt, attempt_number, sent_ms, lease_until_ms, trace }
        else
          local i = 8 * taken + 1
          found[i + 1], found[i + 2], found[i + 3], found[i + 4] = fields[2], fields[4], fields[6], receipt
          found[i + 5], found[i + 6], found[i + 7], found[i + 8] = attempt_number, sent_ms, lease_until_ms, trace
        end
        taken, text, longest = taken + 1, text + #fields[6], math.max(longest, #fields[6])
        room = room - size
      end
    else
      local names_it, field
      if once then
        --@include ended: remember_ended
        local dedup, digest = rare(), redis.sha1hex(fields[6])
        field = dedup.seen_field(fields[2], fields[4])
        names_it = redis.call('HGET', seen, field) == dedup.seen_of(digest, stream_id)
        if names_it then
          local ended_ms = expired and sent_ms + ttl or now_ms
          remember_ended(ended0, ended1, window_ms, now_ms, ended_ms, field, digest)
        end
      end
      local dead_id
      if not expired then
        --@include members: dead_of
        local dead_fields = dead_of(fields, attempt_number - 1, stream_id, now_ms, sent_ms, trace)
        dead_id = redis.call('XADD', dead, '*', unpack(dead_fields))
        died = died + 1
      end
      local done = redis.pcall('XDEL', queue, stream_id)
      if type(done) == 'table' then
        -- it must not be in both: the move is undone
        if dead_id then redis.pcall('XDEL', dead, dead_id) end
        error(done)
      end
      redis.call('XACK', queue, 'receivers', stream_id)
      if names_it then redis.call('HDEL', seen, field) end
      if expired then redis.call('HINCRBY', counts, 'expired', 1) end
      discarded, text, longest = discarded + 1, text + #fields[6], math.max(longest, #fields[6])
    end
  end
end

-- The repair: if nothing was found, and otherwise at random in one call of a hundred, this checks whether more entries are
-- pending than are in `leases` and `backed`. If so, a script has stopped half-way, and entries in neither get an ended lease.
if not wrote and not needed and (taken == 0 and discarded == 0 or string.sub(micros, -2) == '00') then
  local pending = redis.pcall('XPENDING', queue, 'receivers')[1]
  local missing = pending and pending - redis.call('ZCARD', leases) - redis.call('ZCARD', backed) or 0
  local checked = missing > 0 and redis.call('HGET', counts, 'checked') or ''
  local from = string.find(checked, '-', 1, true) and '(' .. checked or '-'
  if missing > 0 and (from ~= '-' or math.abs(now_ms - (tonumber(checked) or 0)) >= CHECK_AGAIN_MS) then
    local entries = redis.call('XPENDING', queue, 'receivers', from, '+', slice)
    local run, read, members = redis.call('ZCOUNT', leases, '0', '0'), 0, rare()
    for _, of in ipairs(entries) do
      if missing == 0 or read >= MOST_READ then break end
      local entry = entry_of(of[1])
      local message = redis.call('XRANGE', queue, entry, entry)[1]
      local suffix, lease, is_known = '', nil, false
      if message then
        if read_options(message[2]) then suffix = ':' .. message[2][2] end
        _, lease = delivery_of(stamp, entry, suffix)
        -- a lease that has not ended is in `held`, too
        local alike = redis.call('ZRANGE', held, message[2][4], message[2][4], 'BYSCORE', 'LIMIT', 0, MOST_ALIKE)
        read = read + #alike
        for _, member in ipairs(alike) do
          local held_entry, held_lease = members.read_receipt(member)
          if held_entry == entry then
            lease = held_lease
            is_known = redis.call('ZSCORE', leases, lease)
            break
          end
        end
        -- with too many members of one id this is not certain, so the entry is left until they become fewer
        is_known = is_known or #alike == MOST_ALIKE or redis.call('ZSCORE', backed, members.backed_of(entry, suffix))
      end
      -- all others are in the run of score 0
      local low, high = 0, is_known and 0 or run
      while low < high do
        local middle = math.floor((low + high) / 2)
        local other = members.read_lease(redis.call('ZRANGE', leases, middle, middle)[1])
        is_known = is_known or other == entry
        if other < entry then low = middle + 1 else high = middle end
      end
      if not is_known then
        if lease then
          redis.call('ZADD', leases, 0, lease)
          run = run + 1
        else
          -- the entry was deleted and not acknowledged
          redis.call('XACK', queue, 'receivers', entry)
        end
        missing, wrote = missing - 1, true
      end
      checked = of[1]
    end
    local is_end = #entries < slice and (#entries == 0 or checked == entries[#entries][1])
    if missing == 0 or is_end and wrote then
      redis.call('HDEL', counts, 'checked')
    else
      -- the last entry that was checked, or, at the end, the time
      redis.call('HSET', counts, 'checked', is_end and now_ms or checked)
      wrote = wrote or not is_end
    end
  end
end

if taken == 0 then
  if needed then return { 0, '', died, needed } end
  if died > 0 then return { 0, died } end
  if wrote or discarded > 0 then return { 0 } end
  local soonest = redis.call('ZRANGE', leases, '0', '0', 'WITHSCORES')[2]
  if has_more then
    for _, key in ipairs({ delayed, backed }) do
      local due = redis.call('ZRANGE', key, '0', '0', 'WITHSCORES')[2]
      if due and tonumber(due) < tonumber(soonest or due + 1) then soonest = due end
    end
  end
  return { soonest and soonest - now_ms or -1 }
end
if not is_end then found[1] = 0 end
if attempt_id ~= '' and string.sub(continuation, 1, 4) ~= 'full' then
  local members = {}
  if not number then
    -- above the highest existing number; it is ahead of the clock only if that was set back
    local last = tonumber(redis.call('ZRANGE', attempts, -1, -1, 'WITHSCORES')[2] or 0)
    if last > (now_ms + REMEMBERED_MS) * 1000 then
      redis.call('UNLINK', attempts)
      last = 0
    end
    number = math.max(now_ms * 1000, last - last % 1000 + 1000)
    members = { number + 1, attempt }
  end
  for i = 1, taken do
    table.insert(members, number)
    table.insert(members, found[8 * i - 3])
  end
  redis.call('ZADD', attempts, unpack(members))
  redis.call('PEXPIRE', attempts, REMEMBERED_MS)
  -- the oldest attempts are forgotten: those that are over, and those beyond the limit
  local forgotten = 0
  while forgotten < MOST_ENDED do
    local oldest = tonumber(redis.call('ZRANGE', attempts, 0, 0, 'WITHSCORES')[2])
    local is_over = oldest < (now_ms - REMEMBERED_MS) * 1000
    if oldest == number or not is_over and redis.call('ZCARD', attempts) <= MOST_REMEMBERED then break end
    forgotten = forgotten + redis.call('ZREMRANGEBYSCORE', attempts, oldest, oldest + 999)
  end
  table.insert(found, string.format('%d', number))
  table.insert(found, died)
elseif needed then
  table.insert(found, '')
  table.insert(found, died)
elseif died > 0 then
  table.insert(found, died)
end
table.insert(found, needed)
return found
