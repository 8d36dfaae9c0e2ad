-- flags: allow-oom
-- The records of ids of this queue; `incarnation` will be told of the end of those that have not ended ('': nobody).
-- KEYS: tasks state leases
-- ARGV: queue incarnation ids*
-- Reply: {now, lease_until or 0, record or false, ...}
-- include: record

local function is_watched(t)
  return string.find(';' .. t.watchers .. ';', ';' .. incarnation .. ';', 1, true)
end

local function operation()
  begin_state()
  local ids, reply, watched = {}, {now}, {}
  for n = ids_from, #ARGV do ids[#ids + 1] = ARGV[n] end
  for n, raw in ipairs(fetch_raw(ids)) do
    local t = raw and parse(ids[n], raw)
    if not t or is_absent(t) or t.queue ~= queue then
      reply[2 * n], reply[2 * n + 1] = 0, false
    else
      if incarnation ~= '' and not has_ended(t) and not is_watched(t) then
        t.watchers = t.watchers == '-' and incarnation or t.watchers .. ';' .. incarnation
        raw = packed(t)
        watched[#watched + 1], watched[#watched + 2] = t.id, raw
      end
      local held = t.status == 'p' and redis.call('ZSCORE', LEASES, member_of(t))
      reply[2 * n], reply[2 * n + 1] = held or 0, raw
    end
  end
  send('HSET', TASKS, watched)
  return reply
end
