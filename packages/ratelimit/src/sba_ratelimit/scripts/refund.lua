-- Give units back on every limit.
-- KEYS: one per limit. ARGV: cost, then microseconds per unit for each limit.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
  local stored = redis.call('GET', key)
  if stored then
    local arrival = (tonumber(stored) or now) - tonumber(ARGV[1]) * tonumber(ARGV[i + 1])
    if arrival > now then
      redis.call('SET', key, string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1)
    else
      redis.call('DEL', key)
    end
  end
end
return #KEYS
