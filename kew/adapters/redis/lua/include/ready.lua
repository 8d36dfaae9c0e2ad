-- Which waiting tasks a process can run, in order. Lines and sorted sets hold tasks of any function; one that the process
-- can't run is moved to the shelf of its function, and processes that know the function read that shelf too.
-- Needs incarnation, FUNCTIONS, WORKERS.
-- include: moves
local LOOK_AHEAD, MANY = 20, 100
local MOST_BYTES = 1024 * 1024 -- in one answer: it has to come through within the caller's patience, also on a slow link
local known, newly_parked
local bytes -- taken so far

local function begin_ready()
  begin_moves()
  known, newly_parked, bytes = {}, {}, 0
end

local function can_run(fn)
  if known[fn] == nil then
    known[fn] = redis.call('SISMEMBER', FUNCTIONS .. ':' .. incarnation, fn) == 1
  end
  return known[fn]
end

local function known_shelves()
  if s.parked == 0 then return {} end
  return redis.call('SINTER', FUNCTIONS .. ':' .. incarnation, PARKED)
end

local function in_order(a, b)
  local first, second = ready_at(a.t), ready_at(b.t)
  if first ~= second then return first < second end
  return a.member < b.member
end

-- The first entries of a priority's line, at most `limit`; those that mean nothing are marked void.
local function read_line(priority, limit)
  local members, ids, entries = redis.call('LRANGE', LINE[priority], 0, limit - 1), {}, {}
  for n, member in ipairs(members) do ids[n] = id_of(member) end
  for n, t in ipairs(fetch(ids)) do
    local holds = t and t.status == 'q' and t.queue == queue and member_of(t) == members[n]
    entries[n] = holds and {member = members[n], t = t} or {void = true}
  end
  return entries
end

-- The first due entries of a priority's sorted set and of the shelves that the process knows, in order.
local function read_sets(priority, shelves, limit)
  local entries = {}
  local function read(key, is_shelf)
    local members, ids = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, limit), {}
    for n, member in ipairs(members) do ids[n] = id_of(member) end
    for n, t in ipairs(fetch(ids)) do
      if t then
        entries[#entries + 1] = {member = members[n], key = key, is_shelf = is_shelf, t = t}
      else
        unindex(key, members[n]) -- somebody else removed the record
        count(priority, -1)
        if is_shelf then s.parked = s.parked - 1 end
      end
    end
  end
  read(WAITING[priority], false)
  for _, fn in ipairs(shelves) do read(shelf(priority, fn), true) end
  if #shelves > 0 then table.sort(entries, in_order) end
  for n = #entries, limit + 1, -1 do entries[n] = nil end -- beyond `limit`, one that was not read may come before
  return entries
end

-- Take from one priority until `room` are taken or the entries read from one of both places are used up, since the next
-- one there may come before all others. Answers how many of those used were not for this process (void entries weigh a
-- tenth: they cost nothing but looking).
local function take_from(priority, shelves, room, limit, taken)
  local line, sets = read_line(priority, limit), read_sets(priority, shelves, limit)
  local i, j, others = 1, 1, 0
  while #taken < room and bytes < MOST_BYTES do
    while line[i] and line[i].void do i, others = i + 1, others + 0.1 end
    local entry, other = line[i], sets[j]
    if (not entry and #line == limit) or (not other and #sets == limit) then break end
    if entry and s.line_at > now and ready_at(entry.t) > now then entry = nil end -- the clock stepped back
    local from_line = entry and (not other or in_order(entry, other))
    entry = from_line and entry or other
    if not entry then break end
    if from_line then i = i + 1 else j = j + 1 end
    local t = entry.t
    if not from_line then unindex(entry.key, entry.member) end
    if entry.is_shelf then s.parked = s.parked - 1 end
    local fn = function_of(t)
    if entry.is_shelf or can_run(fn) then
      count(priority, -1)
      taken[#taken + 1] = t
      bytes = bytes + #t.body
    else
      park(priority, fn, int(ready_at(t)), entry.member)
      if t.status == 'q' then
        t.status = 'w'
        put(t)
      end
      newly_parked[fn] = true
      others = others + 1
    end
  end
  if i > 1 then redis.call('LTRIM', LINE[priority], i - 1, -1) end
  flush()
  return others
end

-- The first `room` due tasks that the process can run, out of their indexes, and fewer where they are large; true if it
-- stopped at that bound, or at the one of moving others.
local function take_ready(room, others_limit)
  local taken, shelves, priority, limit = {}, known_shelves(), 1, nil
  while priority <= 3 and #taken < room do
    local others = 0
    if s.waiting[priority] > 0 then
      others = take_from(priority, shelves, room, limit or room - #taken, taken)
    end
    others_limit = others_limit - others
    if others_limit <= 0 or bytes >= MOST_BYTES then return taken, shelves, true end
    if others == 0 then priority, limit = priority + 1, nil else limit = math.max(room - #taken, MANY) end
  end
  for _, fn in ipairs(shelves) do forget_empty_shelf(fn) end
  return taken, shelves, false
end

-- The earliest later due time: of what the process can run, and of anything in the sorted sets.
local function next_due(shelves)
  local runnable, any = NEVER, NEVER
  local after = '(' .. now
  for priority = 1, 3 do
    for _, entry in ipairs(s.line_at > now and read_line(priority, LOOK_AHEAD) or {}) do -- the clock stepped back
      local at = not entry.void and ready_at(entry.t) or 0
      if at > now and can_run(function_of(entry.t)) then runnable = math.min(runnable, at) end
      if at > now then any = math.min(any, at) end
    end
    local found = s.waiting[priority] == 0 and {}
      or redis.call('ZRANGEBYSCORE', WAITING[priority], after, '+inf', 'WITHSCORES', 'LIMIT', 0, LOOK_AHEAD)
    for n = 1, #found, 2 do
      local at = tonumber(found[n + 1])
      any = math.min(any, at)
      local raw = at < runnable and redis.call('HGET', TASKS, id_of(found[n]))
      local t = raw and parse('', raw)
      if t and (can_run(function_of(t)) or n == 2 * LOOK_AHEAD - 1) then
        runnable = at
        break
      end
    end
    for _, fn in ipairs(shelves) do
      local first = redis.call('ZRANGEBYSCORE', shelf(priority, fn), after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
      if first[2] then runnable = math.min(runnable, tonumber(first[2])) end
    end
  end
  return runnable, math.min(runnable, any)
end

-- Tell one process that knows `fn`, of those that serve the queue.
local function offer_parked(fn)
  local processes = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf', 'LIMIT', 0, LOOK_AHEAD)
  for _, process in ipairs(processes) do
    if process ~= incarnation and redis.call('SISMEMBER', FUNCTIONS .. ':' .. process, fn) == 1
      and tell(process, 'w ' .. queue) then
      return
    end
  end
end
