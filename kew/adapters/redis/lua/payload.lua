-- flags: no-writes
-- The record of a task with the payload that stands beside it, if one does.
-- KEYS: tasks contents
-- ARGV: id
-- Reply: {now, record or {record, content} or false}
-- include: record

local function operation()
  local at, raw = clock_ms(), redis.call('HGET', TASKS, id)
  if not raw then return {at, false} end
  local is_beside = string.find(raw, '^2') or string.find(raw, '^3[^\n]* %d+ %S+\n')
  if not is_beside then return {at, raw} end
  return {at, {raw, redis.call('HGET', CONTENTS, id)}}
end
