-- flags: allow-oom
-- Bounded maintenance: recover ended leases, remove expired records, fail pinned tasks of processes that have gone, and
-- forget those processes an hour later.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle hungry workers functions lanes
-- ARGV: channel queue limit:int kept_ms:int orphaned
-- Reply: {recovered, removed, orphaned, departed, 1 if a limit was reached, now}
-- include: recover
local MANY_SHELVES = 100

-- The index of ends is a hint: only what the record itself says is removed.
local function remove_expired()
  local ids = redis.call('ZRANGEBYSCORE', ENDED, '-inf', now, 'LIMIT', 0, limit)
  local gone = {}
  for n, t in ipairs(fetch(ids)) do
    if t and t.queue == queue and is_absent(t) then gone[#gone + 1] = ids[n] end
  end
  send('HDEL', TASKS, gone)
  send('ZREM', ENDED, ids)
  return #gone, #ids == limit
end

local function is_gone(process)
  local present_until = redis.call('ZSCORE', WORKERS, process)
  return not present_until or tonumber(present_until) <= now
end

local function orphan(priority, fn, room)
  local members, ids = redis.call('ZRANGE', shelf(priority, fn), 0, room - 1), {}
  for n, member in ipairs(members) do ids[n] = id_of(member) end
  for n, t in ipairs(fetch(ids)) do
    unindex(shelf(priority, fn), members[n])
    if t then
      set_outcome(t, orphaned)
      finish(t, 'f')
    end
  end
  s.parked = s.parked - #members
  count(priority, -#members)
  return #members
end

local function fail_orphans()
  local failed = 0
  local names = s.parked > 0 and redis.call('SMEMBERS', PARKED) or {}
  table.sort(names)
  for _, fn in ipairs(names) do
    local process = string.match(fn, '^@([^/]*)')
    if process and is_gone(process) then
      for priority = 1, 3 do
        if failed < limit then failed = failed + orphan(priority, fn, limit - failed) end
      end
      flush()
      forget_empty_shelf(fn)
    end
  end
  return failed
end

local function sizes_of_shelves(names)
  local sizes, all = {0, 0, 0}, 0
  for _, fn in ipairs(names) do
    for priority = 1, 3 do
      local size = redis.call('ZCARD', shelf(priority, fn))
      sizes[priority], all = sizes[priority] + size, all + size
    end
  end
  return sizes, all
end

-- An operation that Redis broke off half-way (a right that it lacked, a stranger's key) may have left counts that the
-- indexes deny: as many wait as stand in the sets, and at most those of the line too.
local function correct_counts()
  if s.waiting[1] == 0 and s.waiting[2] == 0 and s.waiting[3] == 0 and s.parked == 0 then return end
  local names = redis.call('SMEMBERS', PARKED)
  if #names > MANY_SHELVES then return end
  local shelved, all = sizes_of_shelves(names)
  for priority = 1, 3 do
    local least = redis.call('ZCARD', WAITING[priority]) + shelved[priority]
    local most = least + redis.call('LLEN', LINE[priority])
    s.waiting[priority] = math.max(least, math.min(most, s.waiting[priority]))
  end
  s.parked = all
end

local function forget_departed()
  local processes = redis.call('ZRANGEBYSCORE', WORKERS, '-inf', now - kept_ms, 'LIMIT', 0, limit)
  for _, process in ipairs(processes) do
    redis.call('DEL', LANES .. ':' .. process, FUNCTIONS .. ':' .. process)
  end
  send('ZREM', WORKERS, processes)
  send('HDEL', HUNGRY, processes)
  send('ZREM', IDLE, processes)
  return #processes
end

local function operation()
  begin_moves()
  if not s then return {0, 0, 0, 0, 0, now} end
  local recovered = s.wake_at <= now and recover(limit) or 0 -- no lease ends before `wake_at`
  local removed, removed_limit = remove_expired()
  local failed = fail_orphans()
  correct_counts()
  local departed = forget_departed()
  if recovered > 0 then
    wake(now)
    offer_waiting(recovered, '')
  end
  write_state()
  local more = recovered == limit or removed_limit or failed == limit or departed == limit
  return {recovered, removed, failed, departed, more and 1 or 0, now}
end
