-- Moving tasks between the indexes. Changes are collected over a whole batch and written by `flush`, in a few variadic
-- commands for all of them. A waiting task is in one of three places:
--   a line (a list, in order of submit): ready when it was submitted;   status q
--   a sorted set by due time: deferred, retried, released, replayed; status w or r
--   parked under a reason (a sorted set each): what the workers seen so far can't run, and a process's closures; under
--     '?3' are tasks whose records have version 3, as long as only processes of older versions have met them
-- Cancelling a task may leave its entry in the line: an entry means what its record says.
-- Needs TASKS, LINE1..3, WAITING1..3, LEASES, ENDED, PARKED.
-- include: parking
-- include: record
-- include: dead
-- include: notify
local LOOK_AHEAD, FUNCTIONS_AT_ONCE, SHORT_LINE = 20, 50, 1000
local LINE, WAITING -- keys by priority, kept with the state
local changed, is_changed, index_added, index_removed -- nil: nothing
local instants -- the results of `after`
local sender -- the process that sent this request, or a lease of it: it needs no notification

-- The reply. An error (a stranger's key is in the way) ends the call, but leases that it granted are counted before.
local function saved(reply)
  if type(reply) == 'table' and reply.err then
    save_state()
    error(reply)
  end
  return reply
end

local function count_idle()
  return saved(redis.pcall('ZCARD', IDLE))
end

local function begin_moves()
  begin_state()
  if s and not s.lines then s.lines, s.sets = {LINE1, LINE2, LINE3}, {WAITING1, WAITING2, WAITING3} end
  LINE = s and s.lines
  WAITING = s and s.sets
  changed, is_changed, index_added, index_removed, instants, unreadable = nil, nil, nil, nil, nil, nil
  contents, emptied, newer = nil, nil, nil
  dead.work = nil
  if keyed.is_used then keyed.reset() end
  extra.units, extra.next_cost, extra.freed = nil, nil, nil
  sender = ''
  if s then s.submitter, s.has_work = false, false end
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
  index_added = index_added or {}
  index_added[key] = add_pair(index_added[key], score, member)
end

local function unindex(key, member)
  index_removed = index_removed or {}
  local list = index_removed[key]
  if list then list[#list + 1] = member else index_removed[key] = {member} end
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

-- Every task is in an index: one that can't be read moves from the index where it was met to that of the unreadable ones.
local function write_unreadable()
  local entries = {}
  for id in pairs(unreadable) do
    entries[#entries + 1], entries[#entries + 2] = NOW, id
  end
  send('ZADD', UNREADABLE, entries)
end

-- New contents and entries first, then records, then old ones: where a write fails (a stranger's key is in the way), a task
-- has an entry too many, which is found to mean nothing, and never one too few.
local function flush()
  if unreadable and UNREADABLE then write_unreadable() end
  if contents then send('HSET', CONTENTS, contents) end
  if dead.work then dead.write_attempts() end
  if index_added then send_each('ZADD', index_added) end
  if changed then write_tasks() end
  if index_removed then send_each('ZREM', index_removed) end
  if emptied then send('HDEL', CONTENTS, emptied) end
  if extra.freed then send('HDEL', dead.key('unique'), extra.freed) end
  if dead.work then dead.finish_work() end
  changed, is_changed, index_added, index_removed, contents, emptied = nil, nil, nil, nil, nil, nil
  extra.freed = nil
  if keyed.is_used then keyed.flush() end
end

-- A task is a dead letter from now on, in the group of its last attempt.
function dead.bury(t)
  local member = member_of(t)
  index(dead.key('groups'), 0, t.group)
  index(dead.key('dead:') .. t.group, t.expires_at, member)
  index(dead.key('dead'), t.expires_at, member)
end

-- It is one no more.
function dead.unbury(t)
  local member = member_of(t)
  local group = dead.group_of(member)
  unindex(dead.key('dead'), member)
  unindex(dead.key('dead:') .. group, member)
  dead.leave(group)
end

-- A new task of this id is stored. `dead.replaced` has the dead letters that have expired, by id; nil: none has.
function dead.replace(id)
  local t = dead.replaced[id]
  if t then
    dead.unbury(t)
    dead.clear(member_of(t))
  end
end

local function count(priority, change)
  s.waiting[priority] = s.waiting[priority] + change
  return s.waiting[priority]
end

-- Whether an entry of a sorted set means anything: a call that failed midway may have left one for a task that runs.
local function is_in_a_set(t)
  return t.status == 'w' or t.status == 'r'
end

-- Set aside a task under a reason.
local function park(priority, reason, score, member)
  redis.call('SADD', PARKED, reason)
  index(parked_key(priority, reason), score, member)
  s.parked = s.parked + 1
end

-- A task whose record has a newer version waits for a process that knows it.
function extra.park_newer(t)
  park(priority_of(t), function_of(t), int(ready_at(t)), member_of(t))
  count(priority_of(t), 1)
  wake(now)
end

-- The task of a line's entry is parked now.
function extra.leave_line(t)
  if t.newer_raw then
    redis.call('HSET', TASKS, t.id, (string.gsub(t.newer_raw, '^(%d+)q', '%1w')))
  else
    t.status = 'w'
    put(t)
  end
end

-- Add a task that waits from now on, but not in a line.
local function enqueue(t, at)
  local key = t.extras and keyed.of(t)
  if key then return keyed.enqueue(t, key, at) end
  local priority, fn = priority_of(t), function_of(t)
  if is_pinned(fn) then
    park(priority, reason_of(fn), at, member_of(t))
  else
    index(WAITING[priority], at, member_of(t))
  end
  count(priority, 1)
  wake(at)
end

-- A cancelled task's entry in a line means nothing any more. It is looked for if that is cheap, from the end; a long line
-- keeps it until it is met or, if no process claims, until the line has twice the entries of what waits.
local function shrink_line(priority, left, member)
  local length = redis.call('LLEN', LINE[priority])
  if length <= SHORT_LINE or length > 2 * left + SHORT_LINE then redis.call('LREM', LINE[priority], -1, member) end
end

local function remove_parked(priority, reason, member)
  local count_removed = redis.call('ZREM', parked_key(priority, reason), member)
  s.parked = s.parked - count_removed
  forget_if_empty(reason)
  return count_removed == 1
end

-- A task waits no more: take it out of its index at once.
local function dequeue(t)
  local key = t.extras and keyed.of(t)
  if key and keyed.dequeue(t, key) then return end
  local priority = priority_of(t)
  local left = count(priority, -1)
  if t.status == 'q' then
    if left == 0 then redis.call('DEL', LINE[priority]) else shrink_line(priority, left, member_of(t)) end
    return
  end
  local member, reason = member_of(t), reason_of(function_of(t))
  if redis.call('ZREM', WAITING[priority], member) == 1 then return end
  if remove_parked(priority, reason, member) then return end
  for version = 3, VERSION do remove_parked(priority, '?' .. version, member) end
end

-- A waiting task is due at another instant; its key keeps its turn.
function extra.move_to(t, at)
  local function move()
    dequeue(t)
    if t.status == 'q' then t.status = 'w' end
    t.offset = int(at - t.queued_at)
    enqueue(t, at)
  end
  local key = t.extras and keyed.of(t)
  if key then keyed.keep_turn(t, key, move) else move() end
end

-- The task's current lease is over.
local function give_up_lease(t)
  local member = member_of(t)
  unindex(LEASES, member)
  if t.extras and (t.key or keyed.of(t)) then keyed.freed(member) end
  t.lease = '-'
end

local function wait_again(t, status, at)
  if status == 'r' then history.count(s, history.COUNTED.retried) end
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

local function is_watching(process, t)
  return string.find(';' .. t.watchers .. ';', ';' .. process .. ';', 1, true)
end

local function is_sender(process)
  return string.match(sender, '^[^.]*') == process
end

-- The process of a closure that failed or was cancelled: it need not keep it.
local function notify_owner(t)
  local fn = function_of(t)
  local owner = is_pinned(fn) and string.sub(reason_of(fn), 2)
  if owner and not is_sender(owner) and not is_watching(owner, t) then notify(owner, 'e ' .. t.id) end
end

-- A task ends. `as`: how that is counted, if its status doesn't say it.
local function finish(t, status, as)
  if status ~= 'c' then history.count(s, as or history.OF[status]) end
  if t.lease ~= '-' then give_up_lease(t) end
  t.status, t.ended_at = status, NOW
  t.expires_at = after(status == 'f' and 'dead_letter_ttl_ms' or 'task_ttl_ms')
  index(ENDED, t.expires_at, t.id)
  put(t)
  if t.more then extra.unique.let_go(t) end
  if status == 'f' then
    dead.bury(t)
  elseif t.more and extra.forget_checkpoint(t) or t.attempt ~= '1' or t.counts ~= '0,0,0,0' and t.replays ~= '0' or status == 'x' then -- else nothing has failed
    dead.clear(member_of(t))
  end
  if t.watchers ~= '-' then
    for process in string.gmatch(t.watchers, '[^;]+') do
      if not is_sender(process) then notify(process, 'e ' .. t.id) end
    end
  end
  if status ~= 'c' then notify_owner(t) end
end
