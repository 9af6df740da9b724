-- The right to load a value, unless it changed since it was read or someone else is loading it.
-- KEYS: lease, value, versions.  ARGV: fence, lease ms, head of the value that was read or '',
-- a new version, ms to keep it.
-- Returns {granted, the value that is there now or nil, the versions one after the other}.
local stamp = {}
for i = 3, #KEYS do
  local version = redis.call('GET', KEYS[i])
  if not version or #version ~= #ARGV[4] then
    version = ARGV[4]
    redis.call('SET', KEYS[i], version, 'PX', ARGV[5])
  end
  stamp[#stamp + 1] = version
end
stamp = table.concat(stamp)

local seen = ARGV[3]
local there
if seen == '' then
  there = redis.call('STRLEN', KEYS[2]) > 0
else
  local head = redis.call('GETRANGE', KEYS[2], 0, #seen - 1)
  there = head ~= '' and head ~= seen
end
if there then
  return {0, redis.call('GET', KEYS[2]), stamp}
end

local held = redis.call('GET', KEYS[1])
if held and string.sub(held, #ARGV[1] + 1) == stamp then
  return {0, false, stamp}
end
redis.call('SET', KEYS[1], ARGV[1] .. stamp, 'PX', ARGV[2])
return {1, false, stamp}
