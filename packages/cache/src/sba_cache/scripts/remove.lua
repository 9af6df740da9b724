-- Remove a value, and the right of whoever is loading it to store it.
-- KEYS: lease, value, touch.  ARGV: anything new, ms to keep it.  Returns how many values were removed.
local removed = redis.call('DEL', KEYS[2])
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
return removed
