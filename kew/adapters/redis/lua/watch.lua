-- flags: allow-oom
-- The records of ids of this queue; `incarnation` will be notified when those that have not ended end ('': no process). All of
-- them, or as many as fit one answer, at least one.
-- KEYS: tasks state leases contents
-- ARGV: queue incarnation ids*
-- Reply: {now, lease_until or 0, record or {record, result} or false, ...}
-- include: record

local function is_watched(t)
  if t.watchers == '-' then return false end
  return string.find(';' .. t.watchers .. ';', ';' .. incarnation .. ';', 1, true)
end

-- At most so many, those that asked last: the others learn of the end by polling.
local MOST_WATCHERS = 32

local function add_watcher(t)
  if t.watchers == '-' then
    t.watchers = incarnation
    return
  end
  local _, others = string.gsub(t.watchers, ';', '')
  if others + 1 >= MOST_WATCHERS then t.watchers = string.match(t.watchers, ';(.*)$') end
  t.watchers = t.watchers .. ';' .. incarnation
end

-- The end of a record's lease, or 0, and the record; what has to be written goes to `watched`.
local function watch(id, raw, watched)
  if not raw then return 0, false end
  local t = memo.take(id, raw) or parse(id, raw)
  if not t then return 0, raw end -- Python says that it can't be read
  if t.expires_at ~= '0' and is_absent(t) or t.queue ~= queue then return 0, false end
  if incarnation ~= '' and not has_ended(t) and not is_watched(t) then
    add_watcher(t)
    raw = packed(t)
    watched[#watched + 1], watched[#watched + 2] = id, raw
    if t.status == 'p' then memo.keep(raw, t) end
  end
  return t.status == 'p' and redis.call('ZSCORE', LEASES, member_of(t)) or 0, raw
end

local function operation()
  begin_state()
  local reply, watched, bytes = {now}, {}, 0
  for first = ids_from, #ARGV, READ_AT_ONCE do
    if bytes >= MOST_BYTES then break end
    local ids = {unpack(ARGV, first, math.min(first + READ_AT_ONCE - 1, #ARGV))}
    for n, raw in ipairs(fetch_raw(ids)) do
      local size
      reply[#reply + 1], raw = watch(ids[n], raw, watched)
      reply[#reply + 1], size = extra.with_result(ids[n], raw)
      bytes = bytes + size
      if bytes >= MOST_BYTES then break end
    end
  end
  send('HSET', TASKS, watched)
  if s then write_state(true) end
  return reply
end
