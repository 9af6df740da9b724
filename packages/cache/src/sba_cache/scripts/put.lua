-- Store a value under the present versions, whoever is loading it.
-- KEYS: lease, value, touch, versions.  ARGV: head, payload, ms to keep it, a new version, ms to keep versions.
local stamp = {}
for i = 4, #KEYS do
  local version = redis.call('GET', KEYS[i])
  if not version or #version ~= #ARGV[4] then
    version = ARGV[4]
    redis.call('SET', KEYS[i], version, 'PX', math.max(ARGV[3] * 2, ARGV[5]))
  elseif redis.call('PTTL', KEYS[i]) < math.max(ARGV[3], ARGV[5] / 2) then
    redis.call('PEXPIRE', KEYS[i], math.max(ARGV[3] * 2, ARGV[5]))
  end
  stamp[#stamp + 1] = version
end
redis.call('SET', KEYS[2], ARGV[1] .. table.concat(stamp) .. ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[5])
return 1
