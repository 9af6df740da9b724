-- Enter a phase unless another decision came first; its counts begin empty and the decision is recorded.
-- KEYS[1] the canary's hash, KEYS[2] its list of decisions
-- ARGV[1] status, ARGV[2] share, ARGV[3] revision, ARGV[4] since, ARGV[5] the decision, ARGV[6] decisions kept
local revision = tonumber(redis.call('HGET', KEYS[1], 'revision') or 0)
if revision ~= tonumber(ARGV[3]) - 1 then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'status', ARGV[1], 'share', ARGV[2], 'revision', ARGV[3], 'since', ARGV[4])
redis.call('LPUSH', KEYS[2], ARGV[5])
redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[6]) - 1)
return 1
