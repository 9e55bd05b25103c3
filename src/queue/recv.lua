#!lua flags=allow-oom
-- Takes the next messages of a queue under a lease: first those whose lease has ended, in the queue's order, then new ones.
-- One call is one slice of a RECV (slices.ts): what it does is bounded by ARGV[4], ARGV[7] and ARGV[8], what it returns by
-- ARGV[10]. A message that does not fit stays where it is.
-- Before that, what was sent or given back with a delay and is due now joins the queue. A message whose time to live is
-- over is thrown away; one that was delivered too often goes to the dead stream.
-- allow-oom: receiving and freeing is how a full Redis gets empty again.
--
-- Redis does not roll back a script that fails half-way. So writes come in an order that leaves a message where a later RECV
-- finds it: in `leases` or `backed`, or pending in the group and in neither, which is repaired below.
--
-- KEYS[1]  aizumi:{address}:queue     stream: messages; group `receivers`
-- KEYS[2]  aizumi:{address}:leases    zset: entry:stamp, or entry:stamp:saddr if sent once → when its lease ends, ms; 0: ended
-- KEYS[3]  aizumi:{address}:held      zset: stamp:entry, or stamp:entry:saddr if sent once → message id
-- KEYS[4]  aizumi:{address}:delayed   zset: stamp:saddr:id:ttl:once;trace:payload of messages not yet due → when they are, ms
-- KEYS[5]  aizumi:{address}:backed    zset: entry, or entry:saddr if sent once, given back with a delay → when it is due, ms
-- KEYS[6]  aizumi:{address}:dead      stream: messages delivered too often
-- KEYS[7]  aizumi:{address}:seen      hash: saddr:id → sha1 of the payload:entry, of messages sent once that live
-- KEYS[8]  aizumi:{address}:settings  hash: visibility_timeout_ms, max_deliveries, ttl_ms, those that this queue has of its own
-- KEYS[9]  aizumi:{address}:counts    hash: expired → messages thrown away; checked → where the repair of pending entries stands;
--          delayed_bytes, delayed_count → what so many members of `delayed` take
-- KEYS[10]  aizumi:{address}:attempts  zset: receipt → number of its attempt, when it began, µs, a multiple of 1000; =attempt_id →
--          that number plus how many ask
-- KEYS[11]  aizumi:{address}:ended0  hash: saddr:id → sha1 of the payload, of messages sent once that ended in an even window;
--          until: when the hash expires, ms
-- KEYS[12]  aizumi:{address}:ended1  hash: the same of odd windows
-- ARGV[1]  visibility timeout, where neither the request nor the queue has one, ms
-- ARGV[2]  most deliveries of one message, where the queue has no limit of its own, count
-- ARGV[3]  window in which a message sent once is remembered after its end, ms
-- ARGV[4]  most messages to take, count
-- ARGV[5]  visibility timeout that the request asks for, ms; '': none
-- ARGV[6]  attempt_id that the request has; '': none
-- ARGV[7]  no more is taken once payloads have this length together, bytes
-- ARGV[8]  a slice: most messages that a call deals with, count
-- ARGV[9]  where the request goes on that earlier calls have begun: the number of its attempt; to tell on what that attempt has
--          taken, also how many messages have been told and the receipt that was reached, with spaces in between; '': nowhere.
--          It begins with full while Redis is short of memory: a new attempt is not remembered then
-- ARGV[10]  room for the messages that it returns, bytes
-- ARGV[11]  what a message takes of it beside its payload, bytes
-- ARGV[12]  most messages that an attempt of this attempt_id may have taken earlier, count: nothing is told if it has more
-- Returns  {again_ms, …}, and of each message saddr, id, payload, receipt, attempt, sent_ms, lease_until_ms,
--          trace (the traceparent, '' without one): all in one list; behind them, if any did, how many messages have gone to
--          the dead stream. With an attempt there are two more in any case: ARGV[9] for the next call, and that number.
--          Three more, of which the first may be '', when it has stopped before a message for which there is no room: last
--          what that one takes, bytes; -1: the attempt has taken more than ARGV[12]
--          again_ms: 0: call again at once, the call stopped at its bound or has written something; without messages: when
--          something falls due by itself, ms from now; -1: nothing will, or no more messages are there
-- Errors   those of Redis only
--
-- entry is the stream id with its sequence padded to 10 digits, so that text sorts as the queue does (to Redis it is the
-- same id), and its milliseconds to 13; stamp is the time of the delivery, µs, 16 digits. leases sorts by age of message,
-- held by time of delivery. A receipt is the member of held.
-- An attempt is what a RECV with an attempt_id took. Whoever ends a delivery takes its receipt out of attempts, and the
-- last one takes the attempt_id with it. How many ask is counted up to 999 and then no more. The oldest are forgotten.
local queue, leases, held, delayed, backed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local dead, seen, settings, counts, attempts = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local ended0, ended1 = KEYS[11], KEYS[12]
local visibility_timeout_ms, max_deliveries, window_ms = ARGV[1], ARGV[2], ARGV[3]
local max, requested_timeout_ms, attempt_id = tonumber(ARGV[4]), ARGV[5], ARGV[6]
local most_text, slice, goes_on = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local room, envelope, most_told = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])

-- Entries are read one, four, eight at a time while they are short: what was read has been copied, whether it fits or not.
-- A lease that has ended is put into its order for less than a quarter of what a message costs.
local READ_AT_ONCE, MOST_ENDED = 8, 4 * slice
-- The repair at the end: members of one id that it reads for each pending entry and in all, and when it starts again after it
-- has checked all in vain.
local MOST_ALIKE, MOST_READ, CHECK_AGAIN_MS = 1000, 1000, 10000
-- how long an attempt is remembered, and how many members `attempts` may have
local REMEMBERED_MS, MOST_REMEMBERED = 300000, 20000

-- Numbers go to Redis as text: as Lua numbers they would be printed as floating point, a tenth of this script's cost.
-- There are no functions: to make one, with what it refers to, costs as much as a small command.
local time = redis.call('TIME')
local micros = string.sub('00000' .. time[2], -6)
local stamp = time[1] .. micros
-- a clock before September 2001
if #stamp < 16 then stamp = string.sub('000000000' .. stamp, -16) end
local now_ms = time[1] .. string.sub(micros, 1, 3)
local found, taken, text, discarded, died, wrote = { -1 }, 0, 0, 0, 0, false
-- of a slice, the part that is done
local work = 0
-- what the next message takes, for which there is no room
local needed
-- whether `attempts` has anything: asked once, when the first message comes back
local attempted

-- of the attempt that this RECV belongs to; nil: none, or a new one
local number
if attempt_id ~= '' then
  local asked = tonumber(redis.call('ZSCORE', attempts, '=' .. attempt_id))
  local of, told, reached = string.match(goes_on, '(%d+) ?(%d*) ?(.*)$')
  number = asked and asked - asked % 1000
  -- It is over, or somebody else has asked since: that one has been told what there was, and no more is taken.
  if of and (number ~= tonumber(of) or reached == '' and asked - number > 1) then return { -1, goes_on, 0 } end
  if asked and not of and number < (now_ms - REMEMBERED_MS) * 1000 then
    redis.call('ZREMRANGEBYSCORE', attempts, number, asked)
    asked, number = nil, nil
  end
  if asked and (not of or reached ~= '') then
    -- the same messages again, as far as they are still leased to that attempt
    if not of and redis.call('ZCOUNT', attempts, number, number) > most_told then return { 0, '', 0, -1 } end
    told, reached = tonumber(told) or 0, reached or ''
    local told_before, looked, is_end = told, 0, true
    for _, receipt in ipairs(redis.call('ZRANGE', attempts, number, number, 'BYSCORE')) do
      if looked >= slice or text >= most_text then
        is_end = false
        break
      elseif receipt > reached then
        local told_last = reached
        looked, reached = looked + 1, receipt
        local entry = string.sub(receipt, 18, 41)
        local ends = redis.call('ZSCORE', leases, entry .. ':' .. string.sub(receipt, 1, 16) .. string.sub(receipt, 42))
        local message = ends and tonumber(ends) > tonumber(now_ms) and redis.call('XRANGE', queue, entry, entry)[1]
        -- missing when somebody acknowledged it or made the group anew by hand
        local pending = message and redis.pcall('XPENDING', queue, 'receivers', entry, entry, 1)[1]
        local fields = pending and message[2]
        if pending and #fields[6] + envelope > room then
          reached, needed, is_end = told_last, #fields[6] + envelope, false
          break
        elseif pending then
          local sent_ms, trace = string.sub(entry, 1, 13), ''
          for i = 7, #fields, 2 do
            if fields[i] == 'sent' then sent_ms = fields[i + 1] elseif fields[i] == 'trace' then trace = fields[i + 1] end
          end
          for _, value in ipairs({ fields[2], fields[4], fields[6], receipt, pending[4], sent_ms, ends, trace }) do
            table.insert(found, value)
          end
          told, text, room = told + 1, text + #fields[6], room - #fields[6] - envelope
        end
      end
    end
    -- who asks is counted once, with the first that is told
    if told > 0 and told_before == 0 and asked % 1000 < 999 then redis.call('ZADD', attempts, asked + 1, '=' .. attempt_id) end
    if told > 0 or not is_end then
      found[1] = is_end and -1 or 0
      table.insert(found, string.format('%d %d %s', number, told, reached))
      table.insert(found, 0)
      table.insert(found, needed)
      return found
    end
    -- its leases have ended: it is over
    redis.call('ZREMRANGEBYSCORE', attempts, number, asked)
    number = nil
  end
end

local ttl_ms
-- most queues have none of these: one look for all three
local has_more = redis.call('EXISTS', delayed, backed, settings) > 0
if has_more then
  local own = redis.call('HMGET', settings, 'visibility_timeout_ms', 'max_deliveries', 'ttl_ms')
  visibility_timeout_ms, max_deliveries, ttl_ms = own[1] or visibility_timeout_ms, own[2] or max_deliveries, own[3]
  -- what was sent with a delay and is due now becomes an entry
  local due, due_text, longest, at_once = nil, 0, 1, 1
  local fewer, fewer_bytes = 0, 0
  repeat
    due = redis.call('ZRANGE', delayed, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, at_once)
    if #due > 0 and redis.call('EXISTS', queue) == 0 then
      -- the stream was deleted by hand
      redis.call('XGROUP', 'CREATE', queue, 'receivers', 0, 'MKSTREAM')
    end
    for _, member in ipairs(due) do
      local sent, saddr, id, ttl, once, trace, payload =
        string.match(member, '^(%d+):(%d+):(%d+):(%d*):(%d*);?([%x-]*):(.*)$')
      local options, field = { 'sent', string.sub(sent, 1, 13) }, saddr .. ':' .. id
      if trace ~= '' then options = { 'trace', trace, unpack(options) } end
      if ttl ~= '' then options = { 'ttl', ttl, unpack(options) } end
      if once ~= '' then options = { 'once', once, unpack(options) } end
      -- when its time to live was over, a later message may have been sent with its id: `seen` names that one
      local done, value = nil, once ~= '' and redis.call('HGET', seen, field)
      local names_it = value and string.sub(value, 42, 42 + #sent) == sent .. ':'
      local stream_id = redis.call('XADD', queue, '*', 'saddr', saddr, 'id', id, 'payload', payload, unpack(options))
      if names_it then done = redis.pcall('HSET', seen, field, string.sub(value, 1, 41) .. stream_id) end
      -- by rank: it is the first, and its text may be long
      if type(done) ~= 'table' then done = redis.pcall('ZREMRANGEBYRANK', delayed, 0, 0) end
      if type(done) == 'table' then
        -- it must not be in both: what cannot be finished is undone
        redis.pcall('XDEL', queue, stream_id)
        if names_it then redis.pcall('HSET', seen, field, value) end
        error(done)
      end
      due_text, longest = due_text + #member, math.max(longest, #member)
      -- as send.lua weighs it
      local _, exponent = math.frexp(#member + 4)
      local step = math.max(16, 2 ^ (exponent - 3))
      fewer, fewer_bytes = fewer + 1, fewer_bytes + math.ceil((#member + 5) / step) * step + 94
    end
    work = work + #due
    local is_end = #due < at_once
    at_once = math.max(1, math.min(4 * at_once, READ_AT_ONCE, slice - work, math.floor((most_text - due_text) / longest)))
  until is_end or work >= slice or due_text >= most_text
  if fewer > 0 then
    if redis.call('ZCARD', delayed) == 0 then
      redis.call('HDEL', counts, 'delayed_bytes', 'delayed_count')
    else
      redis.call('HINCRBY', counts, 'delayed_bytes', -fewer_bytes)
      redis.call('HINCRBY', counts, 'delayed_count', -fewer)
    end
  end
  -- what was given back with a delay, a lease that has ended
  local back = redis.call('ZRANGE', backed, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, MOST_ENDED + 1)
  if #back > 0 then
    local ended = {}
    for i, member in ipairs(back) do
      ended[2 * i - 1], ended[2 * i] = 0, string.sub(member, 1, 24) .. ':' .. stamp .. string.sub(member, 25)
    end
    redis.call('ZREMRANGEBYRANK', backed, 0, #back - 1)
    redis.call('ZADD', leases, unpack(ended))
    work = work + #back / 4
  end
  -- an older one may be among the rest: nothing is handed out before all that are due have joined
  if #back > MOST_ENDED then max, wrote = 0, true end
end
if requested_timeout_ms ~= '' then visibility_timeout_ms = requested_timeout_ms end
local lease_until_ms = string.format('%d', now_ms + visibility_timeout_ms)

local comes_back = redis.call('ZRANGE', leases, '0', now_ms, 'BYSCORE', 'LIMIT', '0', '1')[1]
if comes_back then
  if redis.call('EXISTS', queue) == 0 then
    -- the stream was deleted by hand: what was known of its messages is void
    redis.call('DEL', leases, held, backed, attempts)
    wrote = true
  end
  -- score 0 puts all whose lease has ended into one run, sorted by their members: the order of the queue
  local ended = redis.call('ZRANGE', leases, '(0', now_ms, 'BYSCORE', 'LIMIT', 0, MOST_ENDED + 1)
  if ended[1] then
    local run = {}
    for i, member in ipairs(ended) do run[2 * i - 1], run[2 * i] = 0, member end
    redis.call('ZADD', leases, unpack(run))
    work = work + #ended / 4
  end
  -- an older one may be among the rest, as above
  if #ended > MOST_ENDED then max, wrote = 0, true end
end

-- what was read from the stream is delivered already as far as Redis is concerned, and must be dealt with
local new, next_new, at_once, longest, is_end = nil, 1, 1, 1, false
while (new and new[next_new])
  or (not needed and taken < max and text < most_text and (work < slice or taken + discarded == 0)) do
  local message, attempt_number
  if comes_back then
    local member = redis.call('ZRANGE', leases, 0, 0, 'BYSCORE', 'LIMIT', 0, 1)[1]
    if member then
      local entry = string.sub(member, 1, 24)
      local pending = redis.call('XPENDING', queue, 'receivers', entry, entry, 1)[1]
      message = redis.call('XCLAIM', queue, 'receivers', 'aizumi', 0, entry)[1]
      if message and #message[2][6] + envelope > room then
        -- there is no room for it: as if it had not been looked at
        redis.call('XCLAIM', queue, 'receivers', 'aizumi', 0, entry, 'RETRYCOUNT', pending[4], 'JUSTID')
        message, needed = nil, #message[2][6] + envelope
      else
        local receipt = string.sub(member, 26, 41) .. ':' .. entry .. string.sub(member, 42)
        if attempted == nil then attempted = redis.call('EXISTS', attempts) == 1 end
        local attempt = attempted and redis.call('ZSCORE', attempts, receipt)
        if attempt then
          -- the last delivery of an attempt takes its attempt_id with it
          local of = redis.call('ZRANGE', attempts, attempt, attempt + 999, 'BYSCORE', 'LIMIT', 0, 3)
          redis.call('ZREM', attempts, receipt, unpack(of[3] and {} or of))
        end
        redis.call('ZREM', held, receipt)
        redis.call('ZREM', leases, member)
        if message then attempt_number = pending[4] + 1
        -- somebody deleted the entry from the stream by hand
        else discarded = discarded + 1 end
      end
    else
      comes_back = false
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
      -- no such queue: nothing waits. A stream without its group was made by hand or restored from one: give it one.
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
    if string.byte(stream_id, 14) ~= 45 then
      -- a clock before September 2001
      stream_id = string.rep('0', 14 - string.find(stream_id, '-', 1, true)) .. stream_id
    end
    local suffix, ttl, sent_ms, trace = '', ttl_ms, string.sub(stream_id, 1, 13), ''
    for i = 7, #fields, 2 do
      if fields[i] == 'once' then suffix = ':' .. fields[2]
      elseif fields[i] == 'ttl' then ttl = fields[i + 1]
      elseif fields[i] == 'sent' then sent_ms = fields[i + 1]
      elseif fields[i] == 'trace' then trace = fields[i + 1] end
    end
    local expired = ttl and sent_ms + ttl <= tonumber(now_ms)
    local is_alive = not expired and attempt_number <= tonumber(max_deliveries)
    work = work + 1
    local lacks_room = #fields[6] + envelope > room
    if is_alive and (lacks_room or needed or text >= most_text) then
      -- There is no room for it, or it was read with one that left none: it comes next, as if it had not been read.
      if lacks_room then needed = needed or #fields[6] + envelope end
      local entry = string.sub(stream_id, 1, 14) .. string.sub('000000000' .. string.sub(stream_id, 15), -10)
      redis.call('XCLAIM', queue, 'receivers', 'aizumi', 0, entry, 'RETRYCOUNT', 0, 'JUSTID')
      redis.call('ZADD', leases, 0, entry .. ':' .. stamp .. suffix)
    elseif is_alive then
      local entry = string.sub(stream_id, 1, 14) .. string.sub('000000000' .. string.sub(stream_id, 15), -10)
      local receipt = stamp .. ':' .. entry .. suffix
      redis.call('ZADD', held, fields[4], receipt)
      redis.call('ZADD', leases, lease_until_ms, entry .. ':' .. stamp .. suffix)
      if taken == 0 then
        found = { -1, fields[2], fields[4], fields[6], receipt, attempt_number, sent_ms, lease_until_ms, trace }
      else
        local i = 8 * taken + 1
        found[i + 1], found[i + 2], found[i + 3], found[i + 4] = fields[2], fields[4], fields[6], receipt
        found[i + 5], found[i + 6], found[i + 7], found[i + 8] = attempt_number, sent_ms, lease_until_ms, trace
      end
      taken, text, longest = taken + 1, text + #fields[6], math.max(longest, #fields[6])
      room = room - #fields[6] - envelope
    else
      local names_it, field, digest
      if suffix ~= '' then
        field, digest = fields[2] .. ':' .. fields[4], redis.sha1hex(fields[6])
        names_it = redis.call('HGET', seen, field) == digest .. ':' .. message[1]
      end
      if names_it then
        -- as in free.lua: its id is remembered
        local ended_ms = expired and sent_ms + ttl or now_ms
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
      local dead_id
      if not expired then
        dead_id = redis.call('XADD', dead, '*', 'saddr', fields[2], 'id', fields[4], 'payload', fields[6],
          'cause', 'max_deliveries', 'deliveries', attempt_number - 1, 'entry', stream_id, 'died_at_ms', now_ms,
          'sent', sent_ms, unpack(trace == '' and {} or { 'trace', trace }))
        died = died + 1
      end
      local done = redis.pcall('XDEL', queue, stream_id)
      if type(done) == 'table' then
        -- it must not be in both: what cannot be finished is undone
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

-- When nothing was found, and in one call of a hundred, by chance: whether more entries are pending than are in `leases` and
-- `backed`. Then a script has stopped half-way, and what is in neither gets a lease that has ended.
if not wrote and not needed and (taken == 0 and discarded == 0 or string.sub(micros, -2) == '00') then
  local pending = redis.pcall('XPENDING', queue, 'receivers')[1]
  local missing = pending and pending - redis.call('ZCARD', leases) - redis.call('ZCARD', backed) or 0
  local checked = missing > 0 and redis.call('HGET', counts, 'checked') or ''
  local from = string.find(checked, '-', 1, true) and '(' .. checked or '-'
  if missing > 0 and (from ~= '-' or math.abs(now_ms - (tonumber(checked) or 0)) >= CHECK_AGAIN_MS) then
    local entries = redis.call('XPENDING', queue, 'receivers', from, '+', slice)
    local run, read = redis.call('ZCOUNT', leases, '0', '0'), 0
    for _, of in ipairs(entries) do
      if missing == 0 or read >= MOST_READ then break end
      local ms, sequence = string.match(of[1], '^(%d+)-(%d+)$')
      local entry = string.rep('0', 13 - #ms) .. ms .. '-' .. string.rep('0', 10 - #sequence) .. sequence
      local message = redis.call('XRANGE', queue, entry, entry)[1]
      local fields, suffix, old_stamp, is_known = message and message[2] or {}, '', stamp, false
      for i = 7, #fields, 2 do if fields[i] == 'once' then suffix = ':' .. fields[2] end end
      if message then
        -- a lease that has not ended is in `held`, too
        local alike = redis.call('ZRANGE', held, fields[4], fields[4], 'BYSCORE', 'LIMIT', 0, MOST_ALIKE)
        read = read + #alike
        for _, member in ipairs(alike) do
          if string.sub(member, 18, 41) == entry then
            old_stamp = string.sub(member, 1, 16)
            is_known = redis.call('ZSCORE', leases, entry .. ':' .. old_stamp .. suffix)
            break
          end
        end
        -- among so many of one id it is not certain; they become fewer
        is_known = is_known or #alike == MOST_ALIKE or redis.call('ZSCORE', backed, entry .. suffix)
      else
        -- deleted and not acknowledged
        suffix = nil
      end
      -- all others are in the run of score 0
      local low, high = 0, is_known and 0 or run
      while low < high do
        local middle = math.floor((low + high) / 2)
        local other = string.sub(redis.call('ZRANGE', leases, middle, middle)[1], 1, 24)
        is_known = is_known or other == entry
        if other < entry then low = middle + 1 else high = middle end
      end
      if not is_known then
        if suffix then
          redis.call('ZADD', leases, 0, entry .. ':' .. old_stamp .. suffix)
          run = run + 1
        else
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
      -- where to go on, or when all had been checked
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
if attempt_id ~= '' and string.sub(goes_on, 1, 4) ~= 'full' then
  local members = {}
  if not number then
    -- above the highest number that there is; ahead of the clock only where it was set back
    local last = tonumber(redis.call('ZRANGE', attempts, -1, -1, 'WITHSCORES')[2] or 0)
    if last > (now_ms + REMEMBERED_MS) * 1000 then
      redis.call('UNLINK', attempts)
      last = 0
    end
    number = math.max(now_ms * 1000, last - last % 1000 + 1000)
    members = { number + 1, '=' .. attempt_id }
  end
  for i = 1, taken do
    table.insert(members, number)
    table.insert(members, found[8 * i - 3])
  end
  redis.call('ZADD', attempts, unpack(members))
  redis.call('PEXPIRE', attempts, REMEMBERED_MS)
  -- the oldest are forgotten: those that are over, and those that are too many
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
