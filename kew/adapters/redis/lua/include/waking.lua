-- Who is notified when there may be something to do: kew.domain.waking. Idle processes are: those that know a function
-- that waits, the longest idle first, and no more than there are tasks that may start.
-- Needs queue, incarnation, IDLE, FUNCTIONS, WORKERS, HUNGRY, has_room.
-- include: notify
-- include: ready
-- Its numbers, and its functions for other files, since Lua has few variables. LOOKED_AT_MOST: idle processes, in one call.
local waking = {FIRST_PAGE = 10, PAGE = 100, LOOKED_AT_MOST = 1000, INVITED_AT_ONCE = 9, FIRST_FEW = 3}

local function has_other(functions, covered)
  for _, fn in ipairs(functions) do
    if not covered[fn] then return true end
  end
  return false
end

-- How many of these functions were not covered before.
local function cover(functions, covered)
  local added = 0
  for _, fn in ipairs(functions) do
    if not covered[fn] then
      covered[fn] = true
      added = added + 1
    end
  end
  return added
end

-- The idle processes, longest idle first, page by page.
local function idle_processes()
  local page, at, first, size = nil, 0, 0, waking.FIRST_PAGE
  return function()
    at = at + 1
    if not page or (at > #page and #page == size and first + size < waking.LOOKED_AT_MOST) then
      if page then first, size = first + size, waking.PAGE end
      page, at = redis.call('ZRANGE', IDLE, first, first + size - 1), 1
    end
    return page[at]
  end
end

-- Wake at most `count` idle processes that know one of `functions`: first, for each function, one that knows it; else the
-- longest idle. The claimer is answered now and needs no notification. A process that doesn't listen is dead: it takes no
-- notification from a live one, and is not idle any more. Answers how many were not found.
local function offer(count, claimer, functions)
  if count <= 0 or #functions == 0 then return count end
  local covered, left, others, gone = {}, #functions, {}, {}
  local function wake_process(process)
    gone[#gone + 1] = process
    local is_notified = notify_of_work(process)
    if is_notified then count = count - 1 end
    return is_notified
  end
  for process in idle_processes() do
    if process ~= claimer then
      local known = known_of(process, functions)
      if left == 0 and #known > 0 then
        wake_process(process)
      elseif has_other(known, covered) then
        if wake_process(process) then left = left - cover(known, covered) end
      elseif #known > 0 then
        others[#others + 1] = process
      end
      if count == 0 then break end
    end
  end
  for _, process in ipairs(others) do
    if count == 0 then break end
    wake_process(process)
  end
  send('ZREM', IDLE, gone)
  return count
end

-- Wake one idle process, whatever it knows: it will look at more tasks than the caller did.
local function offer_to_any(claimer)
  local gone = {}
  for process in idle_processes() do
    if process ~= claimer then
      gone[#gone + 1] = process
      if notify_of_work(process) then break end
    end
  end
  send('ZREM', IDLE, gone)
end

-- Waiting tasks that may be due, counted up to `limit`: a process that can't run what is parked notifies the next.
local function count_due(limit)
  local due = s.parked
  for priority = 1, 3 do
    if due < limit and s.waiting[priority] > 0 then
      due = due + redis.call('LLEN', LINE[priority]) + redis.call('ZCOUNT', WAITING[priority], '-inf', now)
    end
  end
  if due < limit and s.keyed then due = due + keyed.count_startable(limit - due) end
  return math.min(due, limit)
end

-- The first waiting tasks of a priority in its line and its sorted set, at most `limit` of each, and whether these are all.
local function first_waiting(priority, limit, until_ms)
  local ids = redis.call('LRANGE', LINE[priority], 0, limit - 1)
  local others = redis.call('ZRANGEBYSCORE', WAITING[priority], '-inf', until_ms, 'LIMIT', 0, limit)
  local is_all = #ids < limit and #others < limit
  for _, member in ipairs(others) do ids[#ids + 1] = member end
  for n, member in ipairs(ids) do ids[n] = id_of(member) end
  local found = {}
  for _, t in ipairs(fetch_waiting(ids)) do
    local is_ours = t and t.queue == queue
    if is_ours and (t.newer_raw or not has_ended(t) and t.status ~= 'p') then found[#found + 1] = t end
  end
  return found, is_all
end

local function is_reason_due(reason, until_ms)
  for priority = 1, 3 do
    if redis.call('ZCOUNT', parked_key(priority, reason), '-inf', until_ms) > 0 then return true end
  end
  return false
end

-- The functions of what waits and is due until then: of the first `limit` tasks in each place, and as many reasons; and
-- whether these are all.
local function waiting_functions(limit, until_ms)
  local functions, is_listed, is_all = {}, {}, true
  local function list(fn)
    if not is_listed[fn] then
      is_listed[fn] = true
      functions[#functions + 1] = fn
    end
  end
  for priority = 1, 3 do
    if s.waiting[priority] > 0 then
      local found, is_whole = first_waiting(priority, limit, until_ms)
      is_all = is_all and is_whole
      for _, t in ipairs(found) do list(reason_of(function_of(t))) end
    end
  end
  if s.keyed and not keyed.list_functions(limit, until_ms, list) then is_all = false end
  if s.parked > 0 then
    local reasons = redis.call('SRANDMEMBER', PARKED, limit)
    is_all = is_all and #reasons < limit
    for _, reason in ipairs(reasons) do
      if is_reason_due(reason, until_ms) then list(reason) end
    end
  end
  return functions, is_all
end

-- Wake at most `count` idle processes that can run what waits. If more waits than was looked at, and too few of those were
-- found, one of the others looks further.
local function offer_what_waits(count, claimer)
  if count <= 0 or count_idle() == 0 then return end
  local functions, is_all = waiting_functions(LOOK_AHEAD, '+inf')
  if offer(count, claimer, functions) > 0 and not is_all then offer_to_any(claimer) end
end

-- How many idle processes to wake for what waits: at most `limit`, and no more than may be granted a lease. `left`: how many
-- tasks this call made possible; nil: `limit`.
function waking.wakes(limit, is_earlier, left)
  if limit <= 0 or count_idle() == 0 then return 0 end
  local free = room(redis.call('ZCARD', LEASES))
  -- If all that waits is new and time alone brings room, a process has to set a timer.
  if free == 0 and count_waiting() <= (left or limit) and GATES.latest_opening() > now then free = 1 end
  limit = math.min(limit, free)
  local due = limit > 0 and count_due(limit) or 0
  return limit > 0 and due == 0 and is_earlier and 1 or due -- a rate of a key holds all of it: a process has to set a timer
end

local function offer_waiting(limit, claimer)
  offer_what_waits(waking.wakes(limit), claimer)
end

-- While no lease could be granted, no worker set a timer for what is due later; now there may be room.
local function is_later_task_next()
  local before = s.wake_at
  for priority = 1, 3 do
    local first = redis.call('ZRANGE', WAITING[priority], 0, 0, 'WITHSCORES')[2]
    if first then wake(tonumber(first)) end
  end
  if s.keyed then keyed.wake_later() end
  return s.wake_at < before
end

-- Grants may be possible that were not before: wake idle processes for what is due, or one that sets a timer.
local function offer_all()
  if count_waiting() == 0 then return end
  local due = count_due(setting('max_workers'))
  if due > 0 then
    wake(now)
    offer_waiting(due, '')
  else
    is_later_task_next()
    offer_what_waits(1, '')
  end
end

-- The call made it possible to run `left` tasks more than its claim took: wake idle processes for what is due, or one that
-- sets a timer. The claimer looked itself, unless it got all it wanted and has room for more.
function waking.offer_freed(left, short, is_earlier)
  local claimer = (short or has_room == 0) and incarnation or ''
  local due = left > 0 and not short and count_due(left) or 0
  if due > 0 then
    wake(now)
    offer_what_waits(waking.wakes(due, false, left), claimer)
  elseif not short and (left > 0 and is_later_task_next() or is_earlier) then
    offer_what_waits(1, claimer) -- a process has to set a timer
  end
end

-- Notify one process that can run what is parked under the reason, of those that serve the queue.
local function offer_parked(reason)
  if is_pinned(reason) then
    notify_of_work(string.sub(reason, 2))
    return
  end
  if offer(1, incarnation, {reason}) == 0 then return end
  -- No idle one knows it. Those that renewed their presence last are the most likely to live.
  local processes = redis.call('ZRANGE', WORKERS, '+inf', '(' .. now, 'BYSCORE', 'REV', 'LIMIT', 0, LOOK_AHEAD)
  for _, process in ipairs(processes) do
    if process ~= incarnation and redis.call('SISMEMBER', FUNCTIONS .. ':' .. process, reason) == 1
      and notify_of_work(process) then
      return
    end
  end
end

-- Other processes may be able to run what this one can't: notify them when it is parked, and again now and then.
function waking.offer_all_parked(is_time)
  local parked = newly_parked or {}
  for reason in pairs(parked) do offer_parked(reason) end
  if is_time and s.parked > 0 then
    for _, reason in ipairs(redis.call('SRANDMEMBER', PARKED, 5)) do
      if not parked[reason] and not can_run(reason) then offer_parked(reason) end
    end
  end
end

-- The limit is reached and tasks wait: notify an idle process that could run one of the first and has not met the limit yet,
-- so that it becomes known as starved.
function waking.invite()
  if count_idle() == 0 then return end
  local functions = waiting_functions(waking.FIRST_FEW, now)
  for _, process in ipairs(#functions > 0 and redis.call('ZRANGE', IDLE, 0, waking.INVITED_AT_ONCE) or {}) do
    if process ~= incarnation and redis.call('HEXISTS', HUNGRY, process) == 0
      and #known_of(process, functions) > 0 then
      redis.call('ZREM', IDLE, process)
      if notify_of_work(process) then return end
    end
  end
end

-- A part of the limit is left for a starved process. Whether it received that. One that didn't, or was notified too often, is
-- left no more: kew.domain.sharing.notified_again.
function waking.wake_starved(process)
  wake(now)
  local is_notified = notify_of_work(process.who)
  if is_notified and process.notified + 1 < NOTIFIED_AT_MOST then
    redis.call('HSET', HUNGRY, process.who, starved_text(process.holds, process.since, process.notified + 1))
  else
    redis.call('HDEL', HUNGRY, process.who)
  end
  return is_notified
end
