-- Moving tasks: changes are collected over a whole batch and written by `flush`, a few variadic commands for all of them.
-- Needs TASKS, WAITING1..3, LEASES, ENDED, PARKED.
-- include: breaker
-- include: record
-- include: tell
local WAITING = {WAITING1, WAITING2, WAITING3}
local changed, is_changed = {}, {}
local added, removed = {}, {}

local function put(t)
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
  append(added, key, score)
  append(added, key, member)
end

local function unindex(key, member)
  append(removed, key, member)
end

local function flush()
  local fields = {}
  for n, t in ipairs(changed) do
    fields[2 * n - 1], fields[2 * n] = t.id, packed(t)
  end
  send('HSET', TASKS, fields)
  for key, members in pairs(removed) do send('ZREM', key, members) end
  for key, members in pairs(added) do send('ZADD', key, members) end
  changed, is_changed, added, removed = {}, {}, {}, {}
end

-- Where tasks of a function wait that the workers seen so far can't run; a pinned task ('@') waits there from the start.
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

-- Add a waiting task to its index.
local function enqueue(t)
  if string.byte(t.fn) == 64 then
    park(t.priority, t.fn, t.ready_at, member_of(t))
  else
    index(WAITING[tonumber(t.priority)], t.ready_at, member_of(t))
  end
  wake(t.ready_at)
end

-- Take a waiting task out of its index at once.
local function dequeue(t)
  local member = member_of(t)
  if redis.call('ZREM', WAITING[tonumber(t.priority)], member) == 1 then return end
  s.parked = s.parked - redis.call('ZREM', shelf(t.priority, t.fn), member)
  forget_empty_shelf(t.fn)
end

local function count_waiting()
  return redis.call('ZCARD', WAITING1) + redis.call('ZCARD', WAITING2) + redis.call('ZCARD', WAITING3) + s.parked
end

-- Waiting tasks that are due, counted up to `limit`.
local function count_due(limit)
  local due = 0
  for priority = 1, 3 do
    if due < limit then due = due + redis.call('ZCOUNT', WAITING[priority], '-inf', now) end
  end
  return math.min(due, limit)
end

-- The task's current lease is over.
local function give_up_lease(t)
  unindex(LEASES, member_of(t))
  t.lease = '-'
end

local function wait_again(t, status, ready_at)
  give_up_lease(t)
  t.status, t.ready_at = status, ready_at
  enqueue(t)
  put(t)
end

local function finish(t, status)
  if t.lease ~= '-' then give_up_lease(t) end
  t.status, t.ended_at = status, now
  t.expires_at = now + setting(status == 'f' and 'dead_letter_ttl_ms' or 'task_ttl_ms')
  index(ENDED, t.expires_at, t.id)
  put(t)
  if t.watchers ~= '-' then
    for process in string.gmatch(t.watchers, '[^;]+') do tell(process, 'e ' .. t.id) end
  end
end

-- Wake idle processes for what waits, at most `count` of them and no more than may be granted a lease.
local function offer_waiting(count, claimer)
  if count <= 0 or redis.call('ZCARD', IDLE) == 0 then return end
  count = math.min(count, free_leases(redis.call('ZCARD', LEASES)))
  if count > 0 then offer(count_due(count), claimer) end
end
