-- Which waiting tasks can start in a process, in order. Lines and sorted sets hold tasks of any function; one that a gate
-- parks is set aside under its reason, and processes in which the reason doesn't hold read what is parked under it too.
-- Needs incarnation, FUNCTIONS, WORKERS.
-- include: recover
local MANY, MOST_PIECES = 100, 20
local newly_parked -- by reason; nil: nothing
local fresh -- the one task that this call stores, if nothing else waits and a claim follows; nil: none, or it has its place
local bytes_taken -- taken so far
local is_cut -- there is more to look at than one call may

local function begin_ready()
  begin_moves()
  begin_functions()
  newly_parked, fresh, bytes_taken, is_cut = nil, nil, 0, false
end

local function note_parked(reason)
  newly_parked = newly_parked or {}
  newly_parked[reason] = true
end

-- What processes of older versions left for one that knows its version goes where it belongs. If it was running, they met
-- it when its lease had ended.
local function restore(priority, version)
  local key, ids = parked_key(priority, version), {}
  local members = redis.call('ZRANGE', key, 0, MANY - 1)
  for n, member in ipairs(members) do ids[n] = id_of(member) end
  for n, t in ipairs(fetch(ids)) do
    unindex(key, members[n])
    s.parked = s.parked - 1
    count(priority, -1)
    if t and t.status == 'p' then
      dead.lose(t)
    elseif t and is_in_a_set(t) then
      enqueue(t, ready_at(t))
    end
  end
  flush()
  is_cut = is_cut or #members == MANY
end

local function in_order(a, b)
  local first, second = ready_at(a.t), ready_at(b.t)
  if first ~= second then return first < second end
  return a.member < b.member
end

-- The tasks of the first entries of a priority's line, at most `limit`. False: the entry means nothing. And for which of
-- those a waiting task is counted, since its record can't be read; nil: for none.
local function read_line(priority, limit)
  local members, ids, counted = redis.call('LRANGE', LINE[priority], 0, limit - 1), {}, nil
  for n = 1, #members do ids[n] = id_of(members[n]) end
  local tasks = fetch_waiting(ids)
  for n = 1, #members do
    local t = tasks[n]
    if not (t and t.status == 'q' and t.queue == queue and member_of(t) == members[n]) then
      if not t and unreadable and unreadable[ids[n]] == 'q ' then
        counted = counted or {}
        counted[n] = true
      end
      tasks[n] = false
    end
  end
  return tasks, counted
end

-- The first due entries of a priority's sorted set and of what is parked under these reasons, in order.
local function read_sets(priority, reasons, limit)
  local entries = {}
  local is_dropped = false
  local function read_piece(key, is_parked, first, size)
    local members, ids, found = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', first, size), {}, 0
    for n, member in ipairs(members) do ids[n] = id_of(member) end
    for n, t in ipairs(fetch_waiting(ids)) do
      if t and is_in_a_set(t) then
        found = found + 1
        entries[#entries + 1] = {member = members[n], key = key, is_parked = is_parked, t = t}
      elseif t then
        is_dropped = true
        unindex(key, members[n])
      else
        is_dropped = true
        unindex(key, members[n]) -- the record was removed, or can't be read
        count(priority, -1)
        if is_parked then s.parked = s.parked - 1 end
      end
    end
    return found, #members == size
  end
  -- What can't be read must not hide the tasks behind it.
  local function read(key, is_parked)
    local found, has_more = read_piece(key, is_parked, 0, limit)
    local first = limit
    for _ = 1, MOST_PIECES do
      if found >= limit or not has_more then return end
      local more
      more, has_more = read_piece(key, is_parked, first, MANY)
      found, first = found + more, first + MANY
    end
    is_cut = true
  end
  read(WAITING[priority], false)
  for _, reason in ipairs(reasons) do read(parked_key(priority, reason), true) end
  if #reasons > 0 then table.sort(entries, in_order) end
  if is_dropped then flush() end
  for n = #entries, limit + 1, -1 do entries[n] = nil end -- beyond `limit`, one that was not read may come before
  return entries
end

-- Read the payload that is not in the task's record, before the task leaves its index. False if Redis can't: what was taken
-- before is granted, and no more.
local function load_content(t, taken)
  local content = redis.pcall('HGET', CONTENTS, t.id)
  if type(content) == 'table' then
    if #taken == 0 then saved(content) end
    bytes_taken = MOST_BYTES
    return false
  end
  t.content = content
  bytes_taken = bytes_taken + (content and #content or 0)
  return true
end

-- Take from one priority until `room` are taken or the entries read from one of both places are used up, since the next
-- one there may come before all others. Answers how many of those used were not for this process (void entries weigh a
-- tenth: they cost nothing but looking).
local function take_from(priority, reasons, room, limit, taken)
  local line, counted = read_line(priority, limit)
  local sets = read_sets(priority, reasons, limit)
  local is_line_cut, is_set_cut, is_ahead = #line == limit, #sets == limit, s.line_at > now -- the clock stepped back
  local i, j, others, many, known, parked_under = 1, 1, 0, #taken, nil, nil
  while many < room and bytes_taken < MOST_BYTES do
    while line[i] == false do
      if counted and counted[i] and s.waiting[priority] > 0 then count(priority, -1) end
      i, others = i + 1, others + 0.1
    end
    local t, other = line[i], sets[j]
    if (not t and is_line_cut) or (not other and is_set_cut) then break end
    if t and is_ahead and ready_at(t) > now then t = nil end
    if t and other and not in_order({t = t, member = member_of(t)}, other) then t = nil end
    local from_line = t
    if not t then
      if not other then break end
      t = other.t
      local key = other.is_parked and t.extras and keyed.of(t)
      if key then -- it takes its turn
        keyed.unpark(priority, other, key)
        others = others + 1
        break
      end
    end
    local reason
    if from_line or not other.is_parked then
      local fn = function_of(t)
      if fn ~= known then known, parked_under = fn, parks(fn) end
      reason = parked_under
    end
    if not reason and extra.units and not extra.affords(t) then break end
    if not reason and t.beside and not load_content(t, taken) then break end
    if from_line then
      i = i + 1
    else
      j = j + 1
      unindex(other.key, other.member)
      if other.is_parked then s.parked = s.parked - 1 end
    end
    if not reason then
      count(priority, -1)
      many = many + 1
      taken[many] = t
      bytes_taken = bytes_taken + #t.body + (t.more and extra.checkpoint_bytes(t) or 0)
    else
      park(priority, reason, int(ready_at(t)), member_of(t))
      if t.status == 'q' then extra.leave_line(t) end
      note_parked(reason)
      others = others + 1
    end
  end
  flush()
  if i > 1 then redis.call('LTRIM', LINE[priority], i - 1, -1) end
  return others
end

keyed.sets_of, keyed.load, keyed.take_line = read_sets, load_content, take_from

function keyed.took(t, taken)
  taken[#taken + 1] = t
  bytes_taken = bytes_taken + #t.body + (t.more and extra.checkpoint_bytes(t) or 0)
end

function keyed.has_enough(taken, room)
  return #taken >= room or bytes_taken >= MOST_BYTES or extra.next_cost
end

-- A fresh task that was not taken waits in its line.
local function place_fresh()
  if not fresh then return end
  local t = fresh
  fresh = nil
  redis.call('RPUSH', LINE[priority_of(t)], member_of(t))
  redis.call('HSET', TASKS, t.id, 'q ' .. queue .. ' ' .. t.ticket .. ' ' .. NOW .. ' 0 - ' .. t.tail .. '\n' .. t.body)
end

-- Take a fresh task before it has a place: the others that wait now, if any, were taken back from lost workers.
local function take_fresh()
  local t = fresh
  if not t or count_waiting() ~= 1 or parks(function_of(t)) then return place_fresh() end
  fresh = nil
  count(priority_of(t), -1)
  if s.keyed then keyed.served_plain(priority_of(t), 1) end
  return {t}
end

-- The first `room` due tasks that the process can run, out of their indexes, and fewer if they are large; true if it
-- stopped at that bound, or at the one of moving others.
local function take_ready(room, others_limit)
  local handed = take_fresh()
  if handed then return handed, {}, false end
  local taken, priority, limit = {}, 1, nil
  local reasons, versions = open_reasons()
  for _, version in ipairs(versions) do
    for each = 1, 3 do restore(each, version) end
    forget_if_empty(version)
  end
  while priority <= 3 and #taken < room and not extra.next_cost do
    local others, before = 0, #taken
    if s.keyed and (s.keyed.waiting[priority] > 0 or #reasons > 0) then
      local has_more
      others, has_more = keyed.take(priority, reasons, room, taken)
      is_cut = is_cut or has_more
    elseif s.waiting[priority] > 0 then
      others = take_from(priority, reasons, room, limit or room - #taken, taken)
      if s.keyed then keyed.served_plain(priority, #taken - before) end
    end
    others_limit = others_limit - others
    if others_limit <= 0 or bytes_taken >= MOST_BYTES then return taken, reasons, true end
    if others == 0 then priority, limit = priority + 1, nil else limit = math.max(room - #taken, MANY) end
  end
  for _, reason in ipairs(reasons) do forget_if_empty(reason) end
  return taken, reasons, is_cut
end

-- The earliest later due time: of what the process can run, and of anything in the sorted sets.
local function next_due(reasons)
  local runnable, any = NEVER, NEVER
  local after = '(' .. now
  for priority = 1, 3 do
    for _, t in ipairs(s.line_at > now and read_line(priority, LOOK_AHEAD) or {}) do -- the clock stepped back
      local at = t and ready_at(t) or 0
      if at > now and not parks(function_of(t)) then runnable = math.min(runnable, at) end
      if at > now then any = math.min(any, at) end
    end
    local found = s.waiting[priority] == 0 and {}
      or redis.call('ZRANGEBYSCORE', WAITING[priority], after, '+inf', 'WITHSCORES', 'LIMIT', 0, LOOK_AHEAD)
    for n = 1, #found, 2 do
      local at = tonumber(found[n + 1])
      any = math.min(any, at)
      local raw = at < runnable and redis.call('HGET', TASKS, id_of(found[n]))
      local t = raw and parse('', raw)
      if t and not parks(function_of(t)) or raw and n == 2 * LOOK_AHEAD - 1 then
        runnable = at
        break
      end
    end
    for _, reason in ipairs(reasons) do
      local first = redis.call('ZRANGEBYSCORE', parked_key(priority, reason), after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
      if first[2] then runnable = math.min(runnable, tonumber(first[2])) end
    end
    if s.keyed and s.keyed.waiting[priority] > 0 then
      local mine, first = keyed.next_due(priority)
      runnable, any = math.min(runnable, mine), math.min(any, first)
    end
  end
  if s.keyed and s.keyed.ends > now then runnable = math.min(runnable, s.keyed.ends) end
  return runnable, math.min(runnable, any)
end

-- Whether a task is due that the process can run, beyond those that it has taken: of the first `limit` in each place.
local function is_ready_in(priority, reasons, limit)
  local line, sets = read_line(priority, limit), read_sets(priority, reasons, limit)
  for _, t in ipairs(line) do
    if t and ready_at(t) <= now and not parks(function_of(t)) then return true, false end
  end
  for _, entry in ipairs(sets) do
    if entry.is_parked and keyed.has_room(entry.t) or not entry.is_parked and not parks(function_of(entry.t)) then
      return true, false
    end
  end
  return false, #line == limit or #sets == limit
end

local function is_ready_at(priority, reasons)
  for _, limit in ipairs({1, LOOK_AHEAD, MANY}) do
    local is_ready, has_more = is_ready_in(priority, reasons, limit)
    if is_ready or not has_more then return is_ready end
  end
  return false
end

local function has_ready()
  local reasons, found = open_reasons(), false
  for priority = 1, 3 do
    found = found or s.waiting[priority] > 0 and is_ready_at(priority, reasons)
      or s.keyed and s.keyed.waiting[priority] > 0 and keyed.has_ready(priority)
  end
  flush()
  return found
end
