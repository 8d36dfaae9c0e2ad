-- flags: no-writes
-- Compare a piece of one of the queue's indexes with the records of its tasks, and what is counted with what is indexed.
-- `part`: counts (`first` is a cursor of the keys' turns), leases, waiting1 to waiting3, parked (`first` is the number of a shelf)
-- or dead; `first`: the entry to begin with.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases parked
-- ARGV: queue part first:int limit:int
-- Reply: {now} if the queue doesn't exist, else {now, {kind of fault, id or number, what is there, ...}, where to go on, or -1}
-- include: moves

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
local operation = (function()
  local MOST_COUNTED = 1000 -- entries of a line that are looked at one by one
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

  -- Each entry of a sorted set from `first` on, with its task: `is_right` judges it.
  local function each(key, from, kind, is_right)
    local members, ids = redis.call('ZRANGE', key, from, from + limit - 1), {}
    for n, member in ipairs(members) do ids[n] = id_of(member) end
    for n, t in ipairs(fetch(ids)) do
      local is_same = t and t.queue == queue and member_of(t) == members[n]
      if not is_set_aside(ids[n]) and not is_right(t, is_same) then fault(kind, ids[n], state_of(t, members[n])) end
    end
    return #members == limit and from + limit or -1
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

  -- How many leases each key has, if there are few.
  local function check_held()
    if redis.call('HLEN', keyed.key_name('holders')) > MOST_COUNTED or redis.call('ZCARD', keyed.key_name('held')) > MOST_COUNTED then return end
    local held = {}
    for _, key in ipairs(redis.call('HVALS', keyed.key_name('holders'))) do held[key] = (held[key] or 0) + 1 end
    for _, key in ipairs(redis.call('ZRANGE', keyed.key_name('held'), 0, -1)) do held[key] = held[key] or 0 end
    for key, count in pairs(held) do
      if keyed.held_of(key) ~= count then fault('held', key, int(keyed.held_of(key)) .. ' ' .. int(count)) end
    end
  end

  -- Keys from this cursor on: as many tasks of one wait as its line has, and at most the parked ones as well.
  local function check_keys(cursor)
    if not s.keyed then return -1 end
    keyed.begin()
    if cursor == 0 then check_held() end
    local reply = redis.call('HSCAN', keyed.key_name('turns'), int(cursor), 'COUNT', limit)
    for n = 1, #reply[2], 2 do
      local priority, key = string.match(reply[2][n], '^([123]) (.*)$')
      local count, line = tonumber(string.match(reply[2][n + 1], '^%d+ (%d+)$')), keyed.line_name(priority, key)
      local size = redis.call('ZCARD', line)
      if not count or count < size or count > size + s.parked then fault('key', key, int(count or 0) .. ' ' .. int(size)) end
      each(line, 0, 'waiting', waits_in(tonumber(priority)))
    end
    return reply[1] == '0' and -1 or tonumber(reply[1])
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
    local next_one = -1
    local priority = tonumber(string.match(part, '^waiting(%d)$') or '')
    if part == 'counts' then
      if first == 0 then check_counts() end
      next_one = check_keys(first)
    elseif part == 'leases' then
      next_one = each(LEASES, first, 'lease', is_running)
    elseif part == 'dead' then
      next_one = each(dead.key('dead'), first, 'dead', is_dead)
    elseif part == 'parked' then
      next_one = check_shelves(first)
    else
      next_one = each(WAITING[priority], first, 'waiting', waits_in(priority))
    end
    return {now, faults, next_one}
  end

  return operation
end)()
