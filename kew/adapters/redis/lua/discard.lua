-- flags: allow-oom
-- Remove a task whose record can't be read. One that can be read again only leaves the index.
-- KEYS: tasks state contents unreadable
-- ARGV: id
-- Reply: done or missing (no such entry, or its record can be read); the record itself may be missing
-- include: dead

local function operation()
  begin_state()
  if redis.call('ZREM', UNREADABLE, id) == 0 then return 'missing' end
  local raw = redis.call('HGET', TASKS, id)
  if raw and parse(id, raw) then return 'missing' end
  redis.call('HDEL', TASKS, id)
  redis.call('HDEL', CONTENTS, id)
  local ticket = raw and string.match(raw, '^%d*%a %S+ (%d+) ')
  if ticket and #ticket <= TICKET_DIGITS then
    local entry = member(ticket, id)
    -- Maintenance removes what belongs to a dead letter when it expires.
    if not redis.call('ZSCORE', dead.key('dead'), entry) then redis.call('DEL', dead.key('attempts:') .. entry, dead.checkpoint_of(entry)) end
  end
  return 'done'
end
