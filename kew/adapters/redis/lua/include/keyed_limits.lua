-- What the rates of keys let start: kew.domain.key_rooms. What is said of a key's log depends on the log and the clock alone.
--   <q>:keyed:logs  hash  the starts of each key, as the gate `rate` writes those of a queue
--   <q>:keyed:limits  hash  the limits that keys have of their own: workers, rates, size ('-': as declared), and when they end (0: once
--     they are removed)
--   <q>:keyed:ends  sorted set  their keys, by when they end
--   <q>:keyed:logged  sorted set  their keys, by when they say nothing any more
-- include: gates
-- include: record

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.has_limits = (function()
  local FORGOTTEN_AT_ONCE = 2 -- for each log that is written
  local ENDED_AT_ONCE = 100 -- limits of keys
  local logs, owns, changed
  local rate = GATES.rate

  function keyed.begin_limits()
    logs, owns, changed = {}, {}, nil
  end

  function keyed.is_paced()
    if s.key_rate_of ~= s.settings then s.key_rate_of, s.key_rate = s.settings, rate.of(s.settings, 'key_rate') end
    return #s.key_rate > 0 or s.keyed.limits > 0
  end

  local function read_own(key)
    local text = redis.call('HGET', keyed.key_name('limits'), key)
    local workers, rates, size, ends = string.match(text or '', '^(%S+) (%S+) (%S+) (%d+)$')
    if not ends or ends ~= '0' and tonumber(ends) <= now then return false end
    return {workers = tonumber(workers), rates = rates ~= '-' and rate.of('own=' .. rates, 'own'), size = tonumber(size),
      text = text}
  end

  -- The limits that a key has of its own; false: none.
  function keyed.own(key)
    if s.keyed.limits == 0 then return false end
    if owns[key] == nil then owns[key] = read_own(key) end
    return owns[key]
  end

  -- How many tasks of a key may run at once, and how many may wait.
  function keyed.limit_of(key)
    local own = keyed.own(key)
    return own and own.workers or setting('key_workers') or NEVER
  end

  function keyed.size_of(key)
    local own = keyed.own(key)
    return own and own.size or setting('key_size') or NEVER
  end

  function keyed.rates_of(key)
    local own = keyed.own(key)
    return own and own.rates or s.key_rate
  end

  local function note_first_end()
    local first = redis.call('ZRANGE', keyed.key_name('ends'), 0, 0, 'WITHSCORES')[2]
    s.keyed.ends, s.keyed.differs = first and tonumber(first) or 0, true
    if first then wake(s.keyed.ends) end
  end

  local function forget_own(key)
    if redis.call('HDEL', keyed.key_name('limits'), key) == 0 then return false end
    redis.call('ZREM', keyed.key_name('ends'), key)
    s.keyed.limits = s.keyed.limits - 1
    owns[key], logs[key] = false, nil
    keyed.touch_all(key)
    return true
  end

  -- Give a key limits of its own, or ('-') none. Whether that changes anything.
  function keyed.set_own(key, text)
    keyed.begin()
    keyed.expire_own()
    local is_changed = true
    if text == '-' then
      is_changed = forget_own(key)
    else
      local limits, lasts = string.match(text, '^(.*) (%d+)$')
      local ends = lasts ~= '0' and now + lasts or 0
      s.keyed.limits = s.keyed.limits + redis.call('HSET', keyed.key_name('limits'), key, limits .. ' ' .. int(ends))
      if ends > 0 then redis.call('ZADD', keyed.key_name('ends'), ends, key) else redis.call('ZREM', keyed.key_name('ends'), key) end
      owns[key], logs[key] = nil, nil
      keyed.touch_all(key)
    end
    note_first_end()
    keyed.flush()
    return is_changed
  end

  -- The limits of some keys have ended.
  function keyed.expire_own()
    keyed.begin()
    if s.keyed.ends == 0 or s.keyed.ends > now then return end
    local keys = redis.call('ZRANGEBYSCORE', keyed.key_name('ends'), '-inf', NOW, 'LIMIT', 0, ENDED_AT_ONCE)
    for _, key in ipairs(keys) do forget_own(key) end
    note_first_end()
  end

  local function at_present(log, each)
    if log.unit ~= each.count then -- the rate was changed
      log.unit, log.tat, log.fraction = each.count, log.tat + (log.fraction > 0 and 1 or 0), 0
    end
    if log.tat - now > math.floor(each.burst * each.per / each.count) + 1 then log.tat, log.fraction = 0, 0 end -- the clock stepped back
  end

  local function logs_of(key)
    local known = logs[key]
    if not known then
      local rates = keyed.rates_of(key)
      known = rate.read(redis.call('HGET', keyed.key_name('logs'), key) or '', rates)
      for n, log in ipairs(known) do at_present(log, rates[n]) end
      logs[key] = known
    end
    return known
  end

  -- When the rates of a key let a task of this cost start: `now`, if they do.
  function keyed.opening(key, cost)
    if not keyed.is_paced() then return now end
    local at, rates = now, keyed.rates_of(key)
    local units = rate.units(cost, rates)
    for n, log in ipairs(#rates > 0 and logs_of(key) or {}) do at = math.max(at, rate.opening(log, rates[n], units)) end
    return at
  end

  -- The same for a waiting task of which the id is known.
  function keyed.opening_for(key, id)
    if not keyed.is_paced() then return now end
    local raw = redis.call('HGET', TASKS, id)
    return keyed.opening(key, raw and extra.cost_in(string.match(raw, '^3[^\n]* (%S+)\n')) or 1)
  end

  -- The most that a start of a key may ever cost.
  function keyed.most_cost(key)
    keyed.begin()
    return keyed.is_paced() and rate.units(NEVER, keyed.rates_of(key)) or NEVER
  end

  -- How many more tasks of a key its rates let start now.
  function keyed.left_of(key)
    local left = NEVER
    if keyed.is_paced() then
      local rates = keyed.rates_of(key)
      for n, log in ipairs(#rates > 0 and logs_of(key) or {}) do left = math.min(left, (rate.left(log, rates[n]))) end
    end
    return left
  end

  -- A task of a key starts. Whether its rates remember that.
  function keyed.spend(key, cost)
    local rates = keyed.is_paced() and keyed.rates_of(key) or {}
    if #rates == 0 then return false end
    local units = rate.units(cost, rates)
    for n, log in ipairs(logs_of(key)) do rate.add(log, rates[n], units) end
    changed = changed or {}
    changed[key] = true
    return true
  end

  -- Forget logs that say nothing any more, at most `limit`.
  function keyed.forget_logs(limit)
    local gone = redis.call('ZRANGEBYSCORE', keyed.key_name('logged'), '-inf', NOW, 'LIMIT', 0, limit)
    send('HDEL', keyed.key_name('logs'), gone)
    send('ZREM', keyed.key_name('logged'), gone)
  end

  function keyed.write_starts()
    if not changed then return end
    local written, ends, count = {}, {}, 0
    for key in pairs(changed) do
      local longest = 0
      for _, each in ipairs(keyed.rates_of(key)) do longest = math.max(longest, each.per) end
      count = count + 1
      written[#written + 1], written[#written + 2] = key, rate.write(logs[key])
      ends[#ends + 1], ends[#ends + 2] = int(now + 2 * longest), key
    end
    changed = nil
    send('HSET', keyed.key_name('logs'), written)
    send('ZADD', keyed.key_name('logged'), ends)
    keyed.forget_logs(FORGOTTEN_AT_ONCE * count)
  end

  return true
end)()
