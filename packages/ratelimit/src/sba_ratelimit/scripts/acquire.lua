-- Take a place under every concurrency limit, or under none; a lease ends by itself on the server's clock.
-- KEYS: one per limit. ARGV: the lease, then per limit: places, microseconds a lease lasts.
-- Returns {taken, then per limit: microseconds until a place would be free if its holder were gone, 0 when free}.
local DAY = 86400000000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local reply = { 1 }
for i = 1, #KEYS do
  local key, places = KEYS[i], tonumber(ARGV[2 * i])
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', key) end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  redis.call('ZREMRANGEBYSCORE', key, now + DAY, '+inf')
  local over = redis.call('ZCARD', key) - places
  reply[i + 1] = 0
  if over >= 0 then
    reply[1] = 0
    reply[i + 1] = redis.call('ZRANGE', key, over, over, 'WITHSCORES')[2] - now
  end
end
if reply[1] == 0 then return reply end
for i = 1, #KEYS do
  redis.call('ZADD', KEYS[i], now + tonumber(ARGV[2 * i + 1]), ARGV[1])
  local last = redis.call('ZRANGE', KEYS[i], -1, -1, 'WITHSCORES')[2]
  redis.call('PEXPIRE', KEYS[i], math.ceil((last - now) / 1000) + 1)
end
return reply
