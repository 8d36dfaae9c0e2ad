-- Moving tasks between the indexes. Changes are collected over a whole batch and written by `flush`, in a few variadic
-- commands for all of them. A waiting task is in one of three places:
--   a line (a list, in order of submit): ready when it was submitted;   status q
--   a sorted set by due time: deferred, retried, handed back, replayed; status w or r
--   a shelf (a sorted set per function): what the workers seen so far can't run, and what is pinned to a process ('@')
-- Cancelling a task leaves its entry in the line, which counts for nothing: an entry means what its record says.
-- Needs TASKS, LINE1..3, WAITING1..3, LEASES, ENDED, PARKED.
-- include: breaker
-- include: record
-- include: tell
local LINE, WAITING -- keys by priority
local changed, is_changed, added, removed -- nil: nothing
local instants -- the results of `after`
local teller -- the process whose word this is: it needs not be told

local function begin_moves()
  begin_state()
  LINE, WAITING = {LINE1, LINE2, LINE3}, {WAITING1, WAITING2, WAITING3}
  changed, is_changed, added, removed, instants = nil, nil, nil, nil, nil
  teller = ''
end

local function put(t)
  if not changed then changed, is_changed = {}, {} end
  if not is_changed[t.id] then
    is_changed[t.id] = true
    changed[#changed + 1] = t
  end
end

local function append(lists, key, value)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  list[#list + 1] = value
end

local function index(key, score, member)
  added = added or {}
  append(added, key, score)
  append(added, key, member)
end

local function unindex(key, member)
  removed = removed or {}
  append(removed, key, member)
end

local function write_tasks()
  local fields = {}
  for n, t in ipairs(changed) do
    fields[2 * n - 1], fields[2 * n] = t.id, packed(t)
  end
  send('HSET', TASKS, fields)
end

local function send_each(command, lists)
  for key, members in pairs(lists) do send(command, key, members) end
end

local function flush()
  if changed then write_tasks() end
  if removed then send_each('ZREM', removed) end
  if added then send_each('ZADD', added) end
  changed, is_changed, added, removed = nil, nil, nil, nil
end

local function count(priority, change)
  s.waiting[priority] = s.waiting[priority] + change
  return s.waiting[priority]
end

local function is_pinned(fn)
  return string.byte(fn) == 64
end

local function shelf(priority, fn)
  return PARKED .. ':' .. priority .. ':' .. fn
end

local function park(priority, fn, score, member)
  redis.call('SADD', PARKED, fn)
  index(shelf(priority, fn), score, member)
  s.parked = s.parked + 1
end

local function forget_empty_shelf(fn)
  if redis.call('EXISTS', shelf(1, fn), shelf(2, fn), shelf(3, fn)) == 0 then redis.call('SREM', PARKED, fn) end
end

-- Add a task that waits from now on, but not in a line.
local function enqueue(t, at)
  local priority, fn = priority_of(t), function_of(t)
  if is_pinned(fn) then
    park(priority, fn, at, member_of(t))
  else
    index(WAITING[priority], at, member_of(t))
  end
  count(priority, 1)
  wake(at)
end

-- A task waits no more: take it out of its index at once.
local function dequeue(t)
  local priority = priority_of(t)
  local left = count(priority, -1)
  if t.status == 'q' then
    if left == 0 then redis.call('DEL', LINE[priority]) end -- nothing but entries that mean nothing
    return
  end
  local member, fn = member_of(t), function_of(t)
  if redis.call('ZREM', WAITING[priority], member) == 1 then return end
  s.parked = s.parked - redis.call('ZREM', shelf(priority, fn), member)
  forget_empty_shelf(fn)
end

-- Waiting tasks that may be due, counted up to `limit`: whoever can't run what is on the shelves hands the word on.
local function count_due(limit)
  local due = s.parked
  for priority = 1, 3 do
    if due < limit and s.waiting[priority] > 0 then
      due = due + redis.call('LLEN', LINE[priority]) + redis.call('ZCOUNT', WAITING[priority], '-inf', now)
    end
  end
  return math.min(due, limit)
end

-- The task's current lease is over.
local function give_up_lease(t)
  unindex(LEASES, member_of(t))
  t.lease = '-'
end

local function wait_again(t, status, at)
  give_up_lease(t)
  t.status, t.offset = status, int(at - t.queued_at)
  enqueue(t, at)
  put(t)
end

-- The instant that lies the setting's time ahead, as text.
local function after(name)
  instants = instants or {}
  if not instants[name] then instants[name] = int(now + setting(name)) end
  return instants[name]
end

local function finish(t, status)
  if t.lease ~= '-' then give_up_lease(t) end
  t.status, t.ended_at = status, NOW
  t.expires_at = after(status == 'f' and 'dead_letter_ttl_ms' or 'task_ttl_ms')
  index(ENDED, t.expires_at, t.id)
  put(t)
  if t.watchers ~= '-' then
    for process in string.gmatch(t.watchers, '[^;]+') do
      if process ~= teller then tell(process, 'e ' .. t.id) end
    end
  end
end

-- Wake idle processes for what waits, at most `limit` of them and no more than may be granted a lease.
local function offer_waiting(limit, claimer)
  if limit <= 0 or redis.call('ZCARD', IDLE) == 0 then return end
  limit = math.min(limit, free_leases(redis.call('ZCARD', LEASES)))
  if limit > 0 then offer(count_due(limit), claimer) end
end

-- While nothing might be granted nobody set a timer for what is due later; now there may be room.
local function is_later_task_next()
  local before = s.wake_at
  for priority = 1, 3 do
    local first = redis.call('ZRANGE', WAITING[priority], 0, 0, 'WITHSCORES')[2]
    if first then wake(tonumber(first)) end
  end
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
    offer(1, '')
  end
end
