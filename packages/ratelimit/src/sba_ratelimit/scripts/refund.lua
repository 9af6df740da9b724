-- Give units back on every limit, and tell every node that a denial it remembers may no longer hold.
-- KEYS: one per limit, then one mark per limit. ARGV: cost, the time they were taken (0: not known), then per limit:
-- kind (even GCRA, odd sliding window), microseconds per unit (GCRA) or per window (sliding), units to be had at once.
-- What time has given back is not given back again. GCRA: the units are taken to be paid from the moment they were
-- taken, the others after them; any other order could credit a pause twice when several are refunded. A window
-- subtracts from the slice of that moment and from older ones, never from younger ones, whose units count for longer.
-- When the time is not known, GCRA gives back all, and a window its oldest units.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost, taken, limits = tonumber(ARGV[1]), math.min(tonumber(ARGV[2]), now), #KEYS / 2

local function keep(key, text, microseconds)
  redis.call('SET', key, text, 'PX', math.ceil(microseconds / 1000) + 1)
end

local function gcra(key, stored, unit, capacity)
  local owed = unit * cost
  if taken > 0 then owed = math.max(0, owed - (now - taken)) end
  local arrival = math.min(tonumber(stored) or now, now + unit * capacity) - owed
  if arrival > now then
    keep(key, string.format('%.0f', arrival), arrival - now)
  else
    redis.call('DEL', key)
  end
end

local function counting(stored, per)
  local slices = {}
  for at, units in string.gmatch(stored, '(%d+):(%d+)') do
    at = math.min(tonumber(at), now)
    if at > now - per then slices[#slices + 1] = { at, tonumber(units) } end
  end
  return slices
end

local function subtract(slices, width)
  local left, first, last, step = cost, 1, #slices, 1
  if taken > 0 then first, last, step = #slices, 1, -1 end
  for i = first, last, step do
    if taken == 0 or math.floor(slices[i][1] / width) <= math.floor(taken / width) then
      local units = math.min(left, slices[i][2])
      slices[i][2], left = slices[i][2] - units, left - units
    end
  end
end

local function window(key, stored, per)
  local slices, texts, last = counting(stored, per), {}, 0
  subtract(slices, per / 50)
  for i = 1, #slices do
    if slices[i][2] > 0 then
      last = slices[i][1]
      texts[#texts + 1] = string.format('%.0f:%.0f', last, slices[i][2])
    end
  end
  if #texts == 0 then return redis.call('DEL', key) end
  keep(key, table.concat(texts, ' '), last + per - now)
end

local stored = redis.call('MGET', unpack(KEYS, 1, limits))
for i = 1, limits do
  local kind, per, capacity = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  if stored[i] and kind % 2 == 0 then gcra(KEYS[i], stored[i], per, capacity) end
  if stored[i] and kind % 2 == 1 then window(KEYS[i], stored[i], per) end
  redis.call('SET', KEYS[limits + i], '1', 'PX', 10)
end
return limits
