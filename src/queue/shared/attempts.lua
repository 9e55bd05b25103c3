-- An attempt is what a RECV with an attempt_id has taken (recv.lua).

-- Takes a delivery that ends out of its attempt, if it has one. The last one takes the attempt_id with it.
local function leave_attempt(attempts_key, receipt)
  local number = redis.call('ZSCORE', attempts_key, receipt)
  if number then
    local members = redis.call('ZRANGE', attempts_key, number, number + 999, 'BYSCORE', 'LIMIT', 0, 3)
    redis.call('ZREM', attempts_key, receipt, unpack(members[3] and {} or members))
  end
end
