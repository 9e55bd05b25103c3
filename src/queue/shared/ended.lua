-- How a message that was sent with dedup is remembered after its end: in one hash for even windows of time, or one for odd ones.

-- Remembers the digest under the message's field of `seen`, until the window after the one in which the message ended is over. To
-- be called before the message is deleted, so that a script that stops in between has not forgotten it.
-- window_ms: length of a window; now_ms and ended_ms: ms since 1970
local function remember_ended(ended0_key, ended1_key, window_ms, now_ms, ended_ms, field, digest)
  local number = math.floor(ended_ms / window_ms)
  local memory, until_ms = number % 2 == 0 and ended0_key or ended1_key, (number + 2) * window_ms
  if until_ms <= tonumber(now_ms) then return end
  local kept_until_ms, a_day_ms = tonumber(redis.call('HGET', memory, 'until') or 0), 86400000
  -- A hash whose end has passed belongs to an older window and is void. One that ends later than expected exists because the
  -- clock was set back or the length of the windows was changed: its contents are kept, for a day at most.
  if kept_until_ms <= tonumber(now_ms) then redis.call('UNLINK', memory) end
  until_ms = math.min(math.max(kept_until_ms, until_ms), until_ms + a_day_ms)
  redis.call('HSET', memory, 'until', string.format('%d', until_ms), field, digest)
  redis.call('PEXPIREAT', memory, string.format('%d', until_ms))
end
