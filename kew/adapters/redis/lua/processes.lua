-- flags: no-writes
-- What the processes of the namespace reported, and the names of its queues, whose workers say who is present.
-- KEYS: processes queues
-- ARGV:
-- Reply: {now, {process, 'instant report', ...}, {queue, ...}}
-- include: now

local function operation()
  return {clock_ms(), redis.call('HGETALL', PROCESSES), redis.call('SMEMBERS', QUEUES)}
end
