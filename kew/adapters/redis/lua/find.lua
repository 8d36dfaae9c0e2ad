-- flags: no-writes
-- The records of ids: all of them, or as many as fit one answer, at least one.
-- KEYS: tasks contents
-- ARGV: ids*
-- Reply: {now, record or {record, result} or false, ...}
-- include: record

local function operation()
  local reply, bytes = {clock_ms()}, 0
  for n = ids_from, #ARGV do
    local found, size = extra.with_result(ARGV[n], redis.call('HGET', TASKS, ARGV[n]))
    reply[#reply + 1], bytes = found, bytes + size
    if bytes >= MOST_BYTES then break end
  end
  return reply
end
