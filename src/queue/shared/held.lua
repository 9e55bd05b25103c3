-- How FREE, KEEP and BACK find the delivery that they are about.

-- The member of `held` that is this receipt; with '' as the receipt, of those with this message id the one delivered first.
-- nil: none is held.
local function find_held(held_key, id, receipt)
  if receipt == '' then return redis.call('ZRANGE', held_key, id, id, 'BYSCORE', 'LIMIT', '0', '1')[1] end
  if tonumber(redis.call('ZSCORE', held_key, receipt)) == tonumber(id) then return receipt end
end
