-- flags: no-writes
-- The records of ids.
-- KEYS: tasks
-- ARGV: ids*
-- Reply: {now, record or false, ...}
-- include: now

local function operation()
  local reply = {clock_ms()}
  for first = ids_from, #ARGV, 4000 do
    local raws = redis.call('HMGET', TASKS, unpack(ARGV, first, math.min(first + 3999, #ARGV)))
    for _, raw in ipairs(raws) do reply[#reply + 1] = raw end
  end
  return reply
end
