-- Any number of GCRA limits decided together on the server's clock; a denial writes nothing.
-- KEYS: one per limit. ARGV: write (1) or only look (0), cost, then per limit: microseconds per unit, burst in units.
-- A stored time beyond the burst (damage, a clock set back, a smaller plan) is brought back to it.
-- Returns {allowed, then per limit: units left, microseconds to full, microseconds until the cost fits; the time}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local write, cost = ARGV[1] == '1', tonumber(ARGV[2])
local function keep(key, arrival)
  redis.call('SET', key, string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1)
end
local stored = redis.call('MGET', unpack(KEYS))
local reply, arrivals = { 1, [3 * #KEYS + 2] = now }, {}
for i = 1, #KEYS do
  local unit, burst = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local tolerance = unit * burst
  local arrival = math.max(now, tonumber(stored[i] or now) or now)
  if arrival > now + tolerance then
    arrival = now + tolerance
    if write then keep(KEYS[i], arrival) end
  end
  local wait = arrival + unit * cost - tolerance - now
  if wait > 0 then reply[1] = 0 else wait = 0 end
  arrivals[i] = arrival
  reply[3 * i - 1] = math.floor((now + tolerance - arrival) / unit)
  reply[3 * i] = arrival - now
  reply[3 * i + 1] = wait
end
if reply[1] == 0 or not write then return reply end
for i = 1, #KEYS do
  local arrival = arrivals[i] + tonumber(ARGV[2 * i + 1]) * cost
  reply[3 * i - 1] = reply[3 * i - 1] - cost
  reply[3 * i] = arrival - now
  if cost > 0 then keep(KEYS[i], arrival) end
end
return reply
