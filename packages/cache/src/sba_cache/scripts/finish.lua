-- Store what was loaded, if the lease is still held and nothing was invalidated since; give the lease back.
-- KEYS: lease, value, versions.  ARGV: lease (fence and versions), versions, record or '', ms to keep it,
-- ms to keep the versions.
-- Returns 1 when it was stored.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
if ARGV[3] == '' then
  return 0
end
local stamp = {}
for i = 3, #KEYS do
  stamp[#stamp + 1] = redis.call('GET', KEYS[i]) or ''
end
if table.concat(stamp) ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
for i = 3, #KEYS do
  if redis.call('PTTL', KEYS[i]) < math.max(ARGV[4], ARGV[5] / 2) then
    redis.call('PEXPIRE', KEYS[i], math.max(ARGV[4] * 2, ARGV[5]))
  end
end
return 1
