-- Give units back on every limit, and tell every node that a denial it remembers may no longer hold.
-- KEYS: one per limit, then one mark per limit. ARGV: cost, then per limit: kind (even GCRA, odd sliding window),
-- microseconds per unit (GCRA) or per window (sliding), units that can be had at once.
-- A window gives back the units taken last.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost, limits = tonumber(ARGV[1]), #KEYS / 2

local function keep(key, text, microseconds)
  redis.call('SET', key, text, 'PX', math.ceil(microseconds / 1000) + 1)
end

local function gcra(key, stored, unit, capacity)
  local arrival = math.min(tonumber(stored) or now, now + unit * capacity) - unit * cost
  if arrival > now then
    keep(key, string.format('%.0f', arrival), arrival - now)
  else
    redis.call('DEL', key)
  end
end

local function window(key, stored, per)
  local slices, left = {}, cost
  for at, units in string.gmatch(stored, '(%d+):(%d+)') do
    slices[#slices + 1] = { math.min(tonumber(at), now), tonumber(units) }
  end
  while #slices > 0 and left >= slices[#slices][2] do
    left = left - table.remove(slices)[2]
  end
  if #slices == 0 then return redis.call('DEL', key) end
  slices[#slices][2] = slices[#slices][2] - left
  local texts = {}
  for i = 1, #slices do texts[i] = string.format('%.0f:%.0f', slices[i][1], slices[i][2]) end
  keep(key, table.concat(texts, ' '), math.max(1, slices[#slices][1] + per - now))
end

local stored = redis.call('MGET', unpack(KEYS, 1, limits))
for i = 1, limits do
  local kind, per, capacity = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  if stored[i] and kind % 2 == 0 then gcra(KEYS[i], stored[i], per, capacity) end
  if stored[i] and kind % 2 == 1 then window(KEYS[i], stored[i], per) end
  redis.call('SET', KEYS[limits + i], '1', 'PX', 10)
end
return limits
