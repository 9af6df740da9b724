-- Prolong a lease under every limit; one that is gone from any of them is given up under all.
-- KEYS: one per limit. ARGV: the lease, then per limit: microseconds a lease lasts.
-- Returns whether it is held.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = 1
for i = 1, #KEYS do
  if not redis.call('ZSCORE', KEYS[i], ARGV[1]) then held = 0 end
end
for i = 1, #KEYS do
  if held == 1 then
    redis.call('ZADD', KEYS[i], now + tonumber(ARGV[i + 1]), ARGV[1])
    local last = redis.call('ZRANGE', KEYS[i], -1, -1, 'WITHSCORES')[2]
    redis.call('PEXPIRE', KEYS[i], math.ceil((last - now) / 1000) + 1)
  else
    redis.call('ZREM', KEYS[i], ARGV[1])
  end
end
return held
