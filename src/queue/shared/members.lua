-- The shapes of members and fields in Redis: the only Lua that makes or reads them. src/queue/members.ts is its counterpart in
-- TypeScript. A script includes the functions that it needs, by name (src/queue/lua.ts). All are pure.
--
-- entry     a stream id with its milliseconds padded to 13 digits and its sequence to 10, so that text sorts as the queue does;
--           to Redis it is the same id
-- stamp     the time of a delivery, or of a SEND with a delay, µs since 1970, 16 digits
-- suffix    ':saddr' of a message that was sent with dedup, otherwise ''
--
-- queue     fields saddr, id, payload in this order, then any of once, ttl, sent, trace
-- leases    entry:stamp and suffix
-- held      stamp:entry and suffix; this is also the receipt
-- backed    entry and suffix
-- delayed   stamp:saddr:id:ttl:once;trace:payload; ttl and once may be empty, ;trace may be missing
-- seen      field saddr:id, value sha1 of the payload:place; the place is a stream id, or stamp:ttl;trace while it is delayed
-- ended0/1  field saddr:id, value sha1 of the payload
-- attempts  a receipt, or =attempt_id
-- dead      fields saddr, id, payload, cause, deliveries, entry, died_at_ms, sent, and trace if it has one

-- stream id → entry
local function entry_of(stream_id)
  if string.byte(stream_id, 14) ~= 45 then
    -- no '-' there: the clock stood before September 2001
    stream_id = string.rep('0', 14 - string.find(stream_id, '-', 1, true)) .. stream_id
  end
  local sequence = string.sub(stream_id, 15)
  return string.sub(stream_id, 1, 14) .. string.rep('0', 10 - #sequence) .. sequence
end

-- → member of held, member of leases
local function delivery_of(stamp, entry, suffix)
  return stamp .. ':' .. entry .. suffix, entry .. ':' .. stamp .. suffix
end

-- member of held → entry, member of leases, suffix
local function read_receipt(receipt)
  local entry, suffix = string.sub(receipt, 18, 41), string.sub(receipt, 42)
  return entry, entry .. ':' .. string.sub(receipt, 1, 16) .. suffix, suffix
end

-- member of leases → entry, member of held
local function read_lease(lease)
  local entry = string.sub(lease, 1, 24)
  return entry, string.sub(lease, 26, 41) .. ':' .. entry .. string.sub(lease, 42)
end

-- → member of backed
local function backed_of(entry, suffix)
  return entry .. suffix
end

-- member of backed → entry, suffix
local function read_backed(member)
  return string.sub(member, 1, 24), string.sub(member, 25)
end

-- → member of delayed; ttl_ms, once and trace may be ''
local function delayed_of(stamp, saddr, id, ttl_ms, once, trace, payload)
  if trace ~= '' then trace = ';' .. trace end
  return stamp .. ':' .. saddr .. ':' .. id .. ':' .. ttl_ms .. ':' .. once .. trace .. ':' .. payload
end

-- member of delayed → stamp, saddr, id, ttl_ms, once, trace, all text, and where the payload, which may be long, begins
local function read_delayed(member)
  return string.match(member, '^(%d+):(%d+):(%d+):(%d*):(%d*);?([%x-]*):()')
end

-- stamp → when the message was sent, ms
local function stamp_ms(stamp)
  return string.sub(stamp, 1, 13)
end

-- → the fields of an entry behind its payload; each of once, ttl_ms, sent_ms and trace may be ''
local function options_of(once, ttl_ms, sent_ms, trace)
  local options = {}
  for i, value in ipairs({ once, ttl_ms, sent_ms, trace }) do
    if value ~= '' then
      options[#options + 1] = i == 1 and 'once' or i == 2 and 'ttl' or i == 3 and 'sent' or 'trace'
      options[#options + 1] = value
    end
  end
  return options
end

-- fields of an entry → once, ttl_ms, sent_ms, trace, each nil where the entry does not have it
local function read_options(fields)
  local once, ttl_ms, sent_ms, trace
  for i = 7, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name == 'once' then once = value
    elseif name == 'ttl' then ttl_ms = value
    elseif name == 'sent' then sent_ms = value
    elseif name == 'trace' then trace = value end
  end
  return once, ttl_ms, sent_ms, trace
end

-- entry or stream id → when it was added, ms
local function added_ms(entry)
  return string.match(entry, '^%d+')
end

-- fields of an entry, and what is known of its death → fields of `dead`
local function dead_of(fields, deliveries, stream_id, now_ms, sent_ms, trace)
  local dead_fields = {
    'saddr', fields[2], 'id', fields[4], 'payload', fields[6], 'cause', 'max_deliveries', 'deliveries', deliveries,
    'entry', stream_id, 'died_at_ms', now_ms, 'sent', sent_ms,
  }
  if trace ~= '' then
    dead_fields[17], dead_fields[18] = 'trace', trace
  end
  return dead_fields
end

-- stream id and fields of a dead message → its fields by name; sent is always there
local function read_dead(stream_id, fields)
  local of = {}
  for i = 1, #fields, 2 do of[fields[i]] = fields[i + 1] end
  of.sent = of.sent or string.match(of.entry or stream_id, '^%d+')
  return of
end

-- → field of seen, ended0 and ended1
local function seen_field(saddr, id)
  return saddr .. ':' .. id
end

-- → value of seen
local function seen_of(digest, place)
  return digest .. ':' .. place
end

-- → the place of a message that is delayed, for seen_of; ttl_ms and trace may be ''
local function delayed_place(stamp, ttl_ms, trace)
  return stamp .. ':' .. ttl_ms .. (trace == '' and '' or ';' .. trace)
end

-- value of seen → digest, place
local function read_seen(value)
  return string.sub(value, 1, 40), string.sub(value, 42)
end

-- place of a message that is delayed → stamp, ttl_ms, trace, the last two may be ''; of another place nil
local function read_delayed_place(place)
  return string.match(place, '^(%d+):(%d*);?([%x-]*)$')
end

-- Whether a value of seen is of the message with this stream id, or with this stamp in `delayed`.
local function seen_names(value, name)
  return string.sub(value .. ':', 42, 42 + #name) == name .. ':'
end

-- → the member of attempts that an attempt_id has
local function attempt_of(attempt_id)
  return '=' .. attempt_id
end
