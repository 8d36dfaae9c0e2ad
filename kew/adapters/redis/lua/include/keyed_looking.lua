-- What can be said of tasks with keys: when one is due, how many are, and for which functions.
-- include: keyed_taking

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.can_look = (function()
  local AT_ONCE = 100 -- keys

  -- When the first task behind `after` is due that the process can run; when the key's rate lets it start; and whether there
  -- may be more.
  local function first_runnable(priority, key, after)
    local found = redis.call('ZRANGEBYSCORE', keyed.line_name(priority, key), after, '+inf', 'WITHSCORES', 'LIMIT', 0, LOOK_AHEAD)
    for n = 1, #found, 2 do
      local raw = redis.call('HGET', TASKS, id_of(found[n]))
      local t = raw and parse(id_of(found[n]), raw)
      if t and not parks(function_of(t)) then
        local at = tonumber(found[n + 1])
        return at, math.max(at, keyed.opening(key, extra.cost_in(t.extras)))
      end
    end
    local last = #found == 2 * LOOK_AHEAD and tonumber(found[#found]) or nil
    return last, last
  end

  -- When time alone lets the next task start that the process can run: one that is due, if a rate holds it, or that will be.
  local function next_of(priority, key)
    local at, opening
    if keyed.is_paced() then at, opening = first_runnable(priority, key, '-inf') end
    if not opening or opening <= now then at, opening = first_runnable(priority, key, '(' .. NOW) end
    return opening
  end

  -- When time alone lets a task start of a key that isn't at its limit: one that the process can run, and any.
  function keyed.next_due(priority)
    keyed.begin()
    local runnable, any = NEVER, NEVER
    local function look(part)
      local found = redis.call('ZRANGEBYSCORE', keyed.key_name(part .. priority), '(' .. NOW, '+inf', 'WITHSCORES', 'LIMIT', 0, LOOK_AHEAD)
      for n = 1, #found, 2 do
        local at = tonumber(found[n + 1])
        any = math.min(any, at)
        if at >= runnable then return end
        runnable = math.min(runnable, math.max(at, next_of(priority, found[n]) or NEVER))
      end
      if #found == 2 * LOOK_AHEAD then runnable = math.min(runnable, tonumber(found[#found])) end -- look again then
    end
    look('later')
    if keyed.is_paced() then look('paced') end
    for _, key in ipairs(redis.call('ZRANGE', keyed.key_name('ring' .. priority), 0, LOOK_AHEAD - 1)) do
      runnable = math.min(runnable, next_of(priority, key) or NEVER)
    end
    return runnable, math.min(runnable, any)
  end

  -- Whether a task of a key is due that the process can run.
  function keyed.has_ready(priority)
    keyed.begin()
    keyed.promote(priority)
    for _, key in ipairs(redis.call('ZRANGE', keyed.key_name('ring' .. priority), 0, AT_ONCE - 1)) do
      local _, at = first_runnable(priority, key, '-inf')
      if at and at <= now and not keyed.is_full(key) then return true end
    end
    return false
  end

  -- Whether a parked task could start as far as its key goes.
  function keyed.has_room(t)
    local key = keyed.of(t)
    if not key then return true end
    keyed.begin()
    return not keyed.is_full(key) and keyed.opening(key, extra.cost_in(t.extras)) <= now
  end

  -- How many tasks of keys may start, counted up to `limit`.
  function keyed.count_startable(limit)
    keyed.begin()
    local due = 0
    local function count_all(priority, keys)
      for _, key in ipairs(keys) do
        if due >= limit then return end
        local tasks = redis.call('ZCOUNT', keyed.line_name(priority, key), '-inf', NOW)
        due = due + math.min(tasks, math.max(0, keyed.limit_of(key) - keyed.held_of(key)), keyed.left_of(key))
      end
    end
    local parts = keyed.is_paced() and {'later', 'paced'} or {'later'}
    for priority = 1, 3 do
      if due < limit and s.keyed.waiting[priority] > 0 then
        count_all(priority, redis.call('ZRANGE', keyed.key_name('ring' .. priority), 0, AT_ONCE - 1))
        for _, part in ipairs(parts) do
          count_all(priority, redis.call('ZRANGEBYSCORE', keyed.key_name(part .. priority), '-inf', NOW, 'LIMIT', 0, AT_ONCE))
        end
      end
    end
    return due
  end

  -- How many tasks are due by then, of the first keys that have any.
  function keyed.count_due_by(priority, horizon)
    keyed.begin()
    local due, is_counted = 0, {}
    local function count_all(keys)
      for _, key in ipairs(keys) do
        if not is_counted[key] then due = due + redis.call('ZCOUNT', keyed.line_name(priority, key), '-inf', horizon) end
        is_counted[key] = true
      end
    end
    count_all(redis.call('ZRANGE', keyed.key_name('ring' .. priority), 0, AT_ONCE - 1))
    count_all(redis.call('ZRANGEBYSCORE', keyed.key_name('later' .. priority), '-inf', horizon, 'LIMIT', 0, AT_ONCE))
    count_all(redis.call('ZRANGE', keyed.key_name('paced' .. priority), 0, AT_ONCE - 1))
    count_all(redis.call('ZRANGE', keyed.key_name('held'), 0, AT_ONCE - 1)) -- those at their limit are in neither
    return due
  end

  -- Call `list` with the functions of the first tasks of the first `limit` keys, by then; whether these are all.
  function keyed.list_functions(limit, until_ms, list)
    keyed.begin()
    local is_all = true
    for priority = 1, s.keyed.waiting[1] + s.keyed.waiting[2] + s.keyed.waiting[3] > 0 and 3 or 0 do
      local keys = redis.call('ZRANGE', keyed.key_name('ring' .. priority), 0, limit - 1)
      is_all = is_all and #keys < limit
      for _, part in ipairs(keyed.is_paced() and {'later', 'paced'} or {'later'}) do
        local later = redis.call('ZRANGEBYSCORE', keyed.key_name(part .. priority), '-inf', until_ms, 'LIMIT', 0, limit)
        is_all = is_all and #later < limit
        for _, key in ipairs(later) do keys[#keys + 1] = key end
      end
      for _, key in ipairs(keys) do
        local first, second = unpack(redis.call('ZRANGE', keyed.line_name(priority, key), 0, 1))
        local raw = first and redis.call('HGET', TASKS, id_of(first))
        local t = raw and parse(id_of(first), raw)
        is_all = is_all and not second
        if t then list(reason_of(function_of(t))) end
      end
    end
    return is_all
  end

  -- When the task with a key was due that has been due for longest.
  function keyed.oldest()
    keyed.begin()
    local first = redis.call('ZRANGE', keyed.key_name('first'), 0, 0, 'WITHSCORES')
    return tonumber(first[2]) or NEVER
  end

  -- The keys that run the most tasks, and how many; and those of which a task has been due for longest, and since when.
  function keyed.named(limit)
    if not s.keyed then return {{}, {}} end
    keyed.begin()
    local delayed, is_listed = {}, {}
    local places = redis.call('ZRANGEBYSCORE', keyed.key_name('first'), '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, 3 * limit)
    for n = 1, #places, 2 do
      local key = string.match(places[n], '^%d (.*)$')
      if not is_listed[key] and #delayed < 2 * limit then
        is_listed[key] = true
        delayed[#delayed + 1], delayed[#delayed + 2] = key, places[n + 1]
      end
    end
    return {redis.call('ZRANGE', keyed.key_name('held'), 0, limit - 1, 'REV', 'WITHSCORES'), delayed}
  end

  -- When the first key in `later` is due, and the rate of the first in `paced` lets it start.
  function keyed.wake_later()
    keyed.begin()
    if s.keyed.ends > 0 then wake(s.keyed.ends) end
    for priority = 1, 3 do
      for _, part in ipairs(keyed.is_paced() and {'later', 'paced'} or {'later'}) do
        local first = redis.call('ZRANGE', keyed.key_name(part .. priority), 0, 0, 'WITHSCORES')[2]
        if first then wake(tonumber(first)) end
      end
    end
  end

  -- The limits have changed: keys that were at them may start. Claims find those that this call doesn't look at.
  function keyed.reopen()
    keyed.begin()
    keyed.repace()
    keyed.reopen_some('0')
    keyed.flush()
  end

  -- Whether any task with a key waits, parked ones included.
  function keyed.takes_turns()
    keyed.begin()
    return redis.call('EXISTS', keyed.key_name('turns')) == 1
  end

  return true
end)()
