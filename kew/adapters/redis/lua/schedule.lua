-- flags: allow-oom
-- Put a schedule, pause it with a note, resume it, or remove it (the verbs), and notify the processes that serve its queue.
-- KEYS: schedules state workers
-- ARGV: channel queue schedule_name verb edition pause_note timetable definition told_limit:int
-- Reply: {word, now}
-- include: notify
-- include: ticks

local function change(known)
  if verb == 'put' then return ticks.put(known, SCHEDULES, schedule_name, edition, queue, timetable, definition, now) end
  if not known and redis.call('HEXISTS', SCHEDULES, schedule_name) == 0 then return 'missing' end
  if verb == 'remove' then
    redis.call('HDEL', SCHEDULES, schedule_name)
    return 'done'
  end
  if not known then return 'stale' end -- another program's
  return verb == 'pause' and ticks.pause(known, pause_note, now) or ticks.resume(known, now)
end

local function operation()
  begin_state()
  local word = change((ticks.read(SCHEDULES, schedule_name)))
  if word == 'done' then
    local present = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf', 'LIMIT', 0, told_limit)
    for _, process in ipairs(present) do notify(process, 's ' .. queue) end
  end
  return {word, now}
end
