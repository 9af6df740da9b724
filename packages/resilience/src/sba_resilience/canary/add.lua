-- Add counts to a slice of a canary's window; give its phase and the totals of the window.
-- KEYS[1] the canary's hash
-- ARGV[1] revision the counts belong to, ARGV[2] slice, ARGV[3] slices in the window, then name, count, ...
local phase = redis.call('HMGET', KEYS[1], 'status', 'share', 'revision', 'since')
local slot, slots = tonumber(ARGV[2]), tonumber(ARGV[3])

if phase[3] and phase[3] == ARGV[1] then
  for i = 4, #ARGV, 2 do
    redis.call('HINCRBY', KEYS[1], 'w:' .. ARGV[2] .. ':' .. ARGV[i], ARGV[i + 1])
  end
end

local totals, old = {}, {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local of, name = string.match(all[i], '^w:(%d+):(.+)$')
  if of and tonumber(of) <= slot - slots then
    old[#old + 1] = all[i]
  elseif of then
    totals[name] = (totals[name] or 0) + tonumber(all[i + 1])
  end
end
for _, field in ipairs(old) do
  redis.call('HDEL', KEYS[1], field)
end

local answer = { phase[1] or '', phase[2] or '', phase[3] or '', phase[4] or '' }
for name, count in pairs(totals) do
  answer[#answer + 1] = name
  answer[#answer + 1] = count
end
return answer
