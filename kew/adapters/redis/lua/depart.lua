-- flags: allow-oom
-- End the presence of a process; sweep forgets what it leaves, an hour later.
-- KEYS: workers idle hungry processes
-- ARGV: incarnation
-- Reply: now
-- include: now

local function operation()
  local now = clock_ms()
  redis.call('ZADD', WORKERS, 'XX', now, incarnation)
  redis.call('ZREM', IDLE, incarnation)
  redis.call('HDEL', HUNGRY, incarnation)
  redis.call('HDEL', PROCESSES, incarnation)
  return now
end
