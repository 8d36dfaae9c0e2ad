-- flags: no-writes
-- Compare a piece of one of the queue's indexes with the records of its tasks, and what is counted with what is indexed.
-- `part`: counts (`first` is a cursor of what is known of keys), leases, waiting1 to waiting3, parked (`first` is the number of a
-- shelf), dead, or '2:acme' (the line of this priority and key); `first`: the entry to begin with.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases parked
-- ARGV: queue part first:int limit:int
-- Reply: {now} if the queue doesn't exist, else {now, {kind of fault, id or number, what is there, ...}, where to go on, or -1,
--   {part, the entry from which on it is to be looked at, ...}}
-- include: moves
-- include: keyed_checking

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
local operation = (function()
  local MOST_COUNTED = 1000 -- entries of a line that are looked at one by one
  local SHARE_OF_A_LINE = 20 -- so many keys may have lines
  local faults

  local function fault(kind, what, detail)
    faults[#faults + 1], faults[#faults + 2], faults[#faults + 3] = kind, what, detail
  end

  local function is_set_aside(id)
    return newer and newer[id] or unreadable and unreadable[id]
  end

  local function state_of(t, member)
    if not t then return 'no record' end
    if t.queue ~= queue then return 'a task of queue ' .. t.queue end
    if member_of(t) ~= member then return 'a task submitted later' end
    return 'status ' .. t.status
  end

  -- Each entry of a sorted set from `first` on, with its task: `is_right` judges it. What waits is there by due time.
  local function each(key, from, kind, is_right)
    local found, ids = redis.call('ZRANGE', key, from, from + limit - 1, 'WITHSCORES'), {}
    for n = 1, #found, 2 do ids[#ids + 1] = id_of(found[n]) end
    for n, t in ipairs(fetch(ids)) do
      local member = found[2 * n - 1]
      local is_same = t and t.queue == queue and member_of(t) == member
      if not is_set_aside(ids[n]) then
        if not is_right(t, is_same) then
          fault(kind, ids[n], state_of(t, member))
        elseif kind == 'waiting' and tonumber(found[2 * n]) ~= ready_at(t) then
          fault('moved', ids[n], '')
        end
      end
    end
    return #ids == limit and from + limit or -1
  end

  local function is_running(t, is_same)
    return is_same and t.status == 'p'
  end

  local function is_dead(t, is_same)
    return not is_same or t.status == 'f' -- an entry of another task is a hint that is removed in time
  end

  local function waits_in(priority, shelf)
    return function(t, is_same)
      if not is_same or not is_in_a_set(t) or priority_of(t) ~= priority then return false end
      return not shelf or is_of_a_version(shelf) or reason_of(function_of(t)) == shelf
    end
  end

  -- How many entries of a line mean something; nil: too many to look at, or not all can be read.
  local function in_line(priority)
    if redis.call('LLEN', LINE[priority]) > MOST_COUNTED then return nil end
    local members, ids, count = redis.call('LRANGE', LINE[priority], 0, -1), {}, 0
    for n, member in ipairs(members) do ids[n] = id_of(member) end
    for n, t in ipairs(fetch(ids)) do
      if is_set_aside(ids[n]) then return nil end
      if t and t.status == 'q' and t.queue == queue and member_of(t) == members[n] then count = count + 1 end
    end
    return count
  end

  local function check_counts()
    local names = redis.call('SMEMBERS', PARKED)
    if #names > 100 then return end
    for priority = 1, 3 do
      local least = redis.call('ZCARD', WAITING[priority])
      for _, fn in ipairs(names) do least = least + redis.call('ZCARD', parked_key(priority, fn)) end
      local exact = in_line(priority)
      local most = least + (exact or redis.call('LLEN', LINE[priority]))
      if exact then least = most end
      local counted = s.waiting[priority]
      if counted < least or counted > most then fault('count', int(priority), int(counted) .. ' ' .. int(exact and most or least)) end
    end
  end

  -- What is known of keys, from this cursor on. The rest of a line that has more entries than this looks at is a part of its own.
  local function check_keys(cursor)
    if not s.keyed then return -1, {} end
    local entries, longer = math.max(1, math.floor(limit / SHARE_OF_A_LINE)), {}
    local next_one, lines = keyed.check(cursor, limit, entries, fault)
    for _, line in ipairs(lines) do longer[#longer + 1], longer[#longer + 2] = line, int(entries) end
    return next_one, longer
  end

  -- Shelves from this one on, until they had `limit` entries; the number of the next, or -1.
  local function check_shelves(number)
    local names, seen = redis.call('SMEMBERS', PARKED), 0
    table.sort(names)
    while number < #names and seen < limit do
      local fn = names[number + 1]
      for priority = 1, 3 do
        each(parked_key(priority, fn), 0, 'waiting', waits_in(priority, fn))
        seen = seen + redis.call('ZCARD', parked_key(priority, fn))
      end
      number = number + 1
    end
    return number < #names and number or -1
  end

  local function operation()
    begin_moves()
    if not s then return {now} end
    faults = {}
    local next_one, longer = -1, {}
    local of_key, key = string.match(part, '^([123]):(.*)$')
    local priority = tonumber(string.match(part, '^waiting(%d)$') or '')
    if part == 'counts' then
      if first == 0 then check_counts() end
      next_one, longer = check_keys(first)
    elseif key then
      keyed.begin()
      next_one = each(keyed.line_name(of_key, key), first, 'waiting', waits_in(tonumber(of_key)))
    elseif part == 'leases' then
      next_one = each(LEASES, first, 'lease', is_running)
    elseif part == 'dead' then
      next_one = each(dead.key('dead'), first, 'dead', is_dead)
    elseif part == 'parked' then
      next_one = check_shelves(first)
    else
      next_one = each(WAITING[priority], first, 'waiting', waits_in(priority))
    end
    return {now, faults, next_one, longer}
  end

  return operation
end)()
