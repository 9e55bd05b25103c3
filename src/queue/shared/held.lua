-- How FREE, KEEP and BACK find the delivery that a request names.

-- Returns the member of `held` that is this receipt; if the receipt is '', the earliest delivery with this message id; nil if
-- none is held.
local function find_held(held_key, id, receipt)
  if receipt == '' then return redis.call('ZRANGE', held_key, id, id, 'BYSCORE', 'LIMIT', '0', '1')[1] end
  if tonumber(redis.call('ZSCORE', held_key, receipt)) == tonumber(id) then return receipt end
end
