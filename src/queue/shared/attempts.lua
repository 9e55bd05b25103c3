-- An attempt is what a RECV with an attempt_id has taken (recv.lua).

-- Removes an ending delivery from its attempt, if it has one; the last delivery removes the attempt_id too.
local function leave_attempt(attempts_key, receipt)
  local number = redis.call('ZSCORE', attempts_key, receipt)
  if number then
    local members = redis.call('ZRANGE', attempts_key, number, number + 999, 'BYSCORE', 'LIMIT', 0, 3)
    redis.call('ZREM', attempts_key, receipt, unpack(members[3] and {} or members))
  end
end
