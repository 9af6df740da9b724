-- Give a lease up under every limit.
-- KEYS: one per limit. ARGV: the lease.
-- Returns under how many it was held.
local held = 0
for i = 1, #KEYS do held = held + redis.call('ZREM', KEYS[i], ARGV[1]) end
return held
