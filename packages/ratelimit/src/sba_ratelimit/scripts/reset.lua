-- Make every limit full again, and tell every node that a denial it remembers no longer holds.
-- KEYS: one per limit, then one mark per limit.
local limits = #KEYS / 2
redis.call('DEL', unpack(KEYS, 1, limits))
for i = 1, limits do redis.call('SET', KEYS[limits + i], '1', 'PX', 10) end
return limits
