-- Hold a lease for longer.  KEYS: lease.  ARGV: lease, ms.  Returns 1 while it is ours.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
