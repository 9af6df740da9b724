-- Any number of limits of either algorithm, enforced or in shadow, decided together on the server's clock.
-- KEYS: one per limit. ARGV: write (1) or only look (0), cost, then per limit: kind (0 GCRA, 1 sliding window;
-- 2 more in shadow), microseconds per unit (GCRA) or per window (sliding), units that can be had at once.
-- Returns {allowed, then per limit: units left, microseconds to full, microseconds until the cost fits; the time}.
-- A window is kept as `time:units` of up to 51 slices of time, each with the time of the last unit taken in it:
-- units count until a whole window has passed since then, never less.
-- A stored time beyond what could be (damage, a clock set back, a smaller plan) is brought back at once.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local write, cost = ARGV[1] == '1', tonumber(ARGV[2])

local function keep(key, text, microseconds)
  redis.call('SET', key, text, 'PX', math.ceil(microseconds / 1000) + 1)
end

local gcra = {}

function gcra.look(key, stored, unit, capacity)
  local tolerance = unit * capacity
  local arrival = math.max(now, tonumber(stored or now) or now)
  if arrival > now + tolerance then
    arrival = now + tolerance
    if write then keep(key, string.format('%.0f', arrival), tolerance) end
  end
  local wait = math.max(0, arrival + unit * cost - tolerance - now)
  return { math.floor((now + tolerance - arrival) / unit), arrival - now, wait }, arrival
end

function gcra.take(key, arrival, unit)
  arrival = arrival + unit * cost
  keep(key, string.format('%.0f', arrival), arrival - now)
  return arrival - now
end

local window = {}

function window.keep(key, slices, per)
  local texts = {}
  for i = 1, #slices do texts[i] = string.format('%.0f:%.0f', slices[i][1], slices[i][2]) end
  keep(key, table.concat(texts, ' '), per)
end

function window.look(key, stored, per, capacity)
  local slices, used, early = {}, 0, false
  for at, units in string.gmatch(stored or '', '(%d+):(%d+)') do
    at, units = tonumber(at), math.min(tonumber(units), capacity)
    if at > now then at, early = now, true end
    if at > now - per then
      slices[#slices + 1] = { at, units }
      used = used + units
    end
  end
  if early and write then window.keep(key, slices, per) end
  local wait, missing = 0, used + cost - capacity
  for i = 1, #slices do
    if cost == 0 or missing <= 0 then break end
    missing = missing - slices[i][2]
    wait = slices[i][1] + per - now
  end
  if cost > 0 and missing > 0 then wait = per end
  local last = slices[#slices]
  return { math.max(0, capacity - used), last and last[1] + per - now or 0, wait }, slices
end

function window.take(key, slices, per)
  local last, width = slices[#slices], per / 50
  if last and math.floor(last[1] / width) == math.floor(now / width) then
    last[1], last[2] = now, last[2] + cost
  else
    slices[#slices + 1] = { now, cost }
  end
  window.keep(key, slices, per)
  return per
end

local stored = redis.call('MGET', unpack(KEYS))
local reply, limits = { 1 }, {}
for i = 1, #KEYS do
  local kind, per, capacity = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  local algorithm = kind % 2 == 0 and gcra or window
  local figures, counted = algorithm.look(KEYS[i], stored[i], per, capacity)
  if figures[3] > 0 and kind < 2 then reply[1] = 0 end
  limits[i] = { algorithm, figures, counted, per }
end
for i = 1, #KEYS do
  local algorithm, figures, counted, per = unpack(limits[i])
  if write and reply[1] == 1 and figures[3] == 0 and cost > 0 then
    figures[1] = figures[1] - cost
    figures[2] = algorithm.take(KEYS[i], counted, per)
  end
  for j = 1, 3 do reply[3 * i - 2 + j] = figures[j] end
end
reply[#reply + 1] = now
return reply
