-- Which waiting tasks a process can run, in order. Main indexes hold tasks of any function; one that the process can't
-- run is moved to the shelf of its function, and processes that know the function read that shelf too.
-- Needs incarnation, FUNCTIONS, WORKERS.
-- include: moves
local LOOK_AHEAD = 20
local known, newly_parked = {}, {}

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
  if a.score ~= b.score then return a.score < b.score end
  return a.member < b.member
end

-- At most `limit` due entries of one priority, over the main index and the shelves.
local function due_entries(priority, shelves, limit)
  local entries = {}
  local function read(key, fn)
    local found = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
    for n = 1, #found, 2 do
      entries[#entries + 1] = {member = found[n], score = tonumber(found[n + 1]), key = key, fn = fn}
    end
  end
  read(WAITING[priority])
  if #shelves > 0 then
    for _, fn in ipairs(shelves) do read(shelf(priority, fn), fn) end
    table.sort(entries, in_order)
  end
  for n = #entries, limit + 1, -1 do entries[n] = nil end
  return entries
end

local function take(entry)
  unindex(entry.key, entry.member)
  if entry.fn then s.parked = s.parked - 1 end
end

-- The first `room` due tasks that the process can run, out of their indexes; true if parking stopped at its bound.
local function take_ready(room, park_limit)
  local taken, shelves = {}, known_shelves()
  local priority = 1
  while priority <= 3 and #taken < room do
    local entries, ids, parked = due_entries(priority, shelves, room - #taken), {}, 0
    for n, entry in ipairs(entries) do ids[n] = id_of(entry.member) end
    for n, t in ipairs(fetch(ids)) do
      local entry = entries[n]
      if not t then
        take(entry)
      elseif entry.fn or can_run(t.fn) then
        take(entry)
        taken[#taken + 1] = t
      else
        take(entry)
        park(priority, t.fn, entry.score, entry.member)
        newly_parked[t.fn] = true
        parked = parked + 1
      end
    end
    flush()
    park_limit = park_limit - parked
    if park_limit <= 0 then return taken, shelves, true end
    if parked == 0 then priority = priority + 1 end
  end
  for _, fn in ipairs(shelves) do forget_empty_shelf(fn) end
  return taken, shelves, false
end

-- The earliest later due time: of what the process can run, and of anything in the main indexes.
local function next_due(shelves)
  local runnable, any = NEVER, NEVER
  local after = '(' .. now
  for priority = 1, 3 do
    local found = redis.call('ZRANGEBYSCORE', WAITING[priority], after, '+inf', 'WITHSCORES', 'LIMIT', 0, LOOK_AHEAD)
    for n = 1, #found, 2 do
      local at = tonumber(found[n + 1])
      any = math.min(any, at)
      local raw = at < runnable and redis.call('HGET', TASKS, id_of(found[n]))
      if raw and (can_run(parse('', raw).fn) or n == 2 * LOOK_AHEAD - 1) then
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
