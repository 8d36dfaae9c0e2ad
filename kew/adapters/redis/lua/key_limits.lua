-- flags: no-writes
-- The limits that keys have of their own.
-- KEYS: state parked
-- ARGV:
-- Reply: {now} if there is no such queue, else {now, {key, limits, ...}}
-- include: state

local function operation()
  begin_state()
  if not s then return {now} end
  return {now, redis.call('HGETALL', string.sub(PARKED, 1, -7) .. 'keyed:limits')}
end
