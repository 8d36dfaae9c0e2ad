-- flags: no-writes
-- Every schedule of the namespace.
-- KEYS: schedules
-- ARGV:
-- Reply: {now, {name, schedule, ...}}
-- include: now

local function operation()
  return {clock_ms(), redis.call('HGETALL', SCHEDULES)}
end
