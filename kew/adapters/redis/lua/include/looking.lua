-- A queue as people see it: kew.app.ports.QueueStatus.
-- include: moves

local function is_served(fn, processes)
  for _, process in ipairs(processes) do
    if fn == '@' .. process then return true end
    if redis.call('SISMEMBER', FUNCTIONS .. ':' .. process, fn) == 1 then return true end
  end
  return false
end

-- When the first task of a sorted set was due that is due.
local function first_due(key)
  local found = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)
  return found[2] and tonumber(found[2]) or NEVER
end

-- The same of a line, from its first entries: those of cancelled tasks mean nothing.
local function first_in_line(priority)
  if s.waiting[priority] == 0 then return NEVER end
  for _, most in ipairs({1, LOOK_AHEAD}) do
    local members, ids = redis.call('LRANGE', LINE[priority], 0, most - 1), {}
    for n, member in ipairs(members) do ids[n] = id_of(member) end
    for n, t in ipairs(fetch(ids)) do
      if t and t.status == 'q' and member_of(t) == members[n] then return ready_at(t) end
    end
  end
  return NEVER
end

-- When the task was due that has been due for longest. False: none is due.
local function due_longest(reasons)
  local at = NEVER
  for priority = 1, 3 do
    at = math.min(at, first_in_line(priority), first_due(WAITING[priority]))
    for _, reason in ipairs(reasons) do at = math.min(at, first_due(parked_key(priority, reason))) end
  end
  if not s.keyed then return at <= now and at end
  at = math.min(at, keyed.oldest())
  return at <= now and at
end

-- The reply of `status`: a queue, by its keys.
local function queue_status()
  begin_moves()
  if not s then return {now, false} end
  local processes = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf')
  local stuck, waiting_for_newer = {}, 0
  local reasons = redis.call('SMEMBERS', PARKED)
  for _, fn in ipairs(reasons) do
    local tasks = 0
    for priority = 1, 3 do tasks = tasks + redis.call('ZCARD', parked_key(priority, fn)) end
    if is_of_a_version(fn) then
      if tonumber(string.sub(fn, 2)) > VERSION then waiting_for_newer = waiting_for_newer + tasks end
    elseif tasks > 0 and not is_served(fn, processes) then
      stuck[#stuck + 1], stuck[#stuck + 2] = fn, tasks
    end
  end
  local waiting = {s.waiting[1], s.waiting[2], s.waiting[3]}
  for priority = 1, s.keyed and 3 or 0 do waiting[priority] = waiting[priority] + s.keyed.waiting[priority] end
  return {now, s.settings, s.version, s.paused and 1 or 0, breaker_text(s.breaker), s.ticket, s.token,
    redis.call('ZCARD', LEASES), waiting, processes, stuck, s.edition, s.longest,
    redis.call('ZCARD', UNREADABLE), waiting_for_newer, GATES.memories(), breaker_failures(),
    due_longest(reasons), history.read(s, now, 'm', history.RECENT + 1, count_waiting()),
    redis.call('ZCOUNT', dead.key('dead'), '(' .. now, '+inf'), keyed.named(5)}
end
