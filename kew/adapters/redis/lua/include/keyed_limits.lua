-- What the rates of keys let start: kew.domain.key_rooms. What is said of a key's log depends on the log and the clock alone.
--   <q>:keyed:logs  hash  the starts of each key, as the gate `rate` writes those of a queue
--   <q>:keyed:logged  sorted set  their keys, by when they say nothing any more
-- include: gates
-- include: record

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.has_limits = (function()
  local FORGOTTEN_AT_ONCE = 2 -- for each log that is written
  local logs, changed
  local rate = GATES.rate

  function keyed.begin_limits()
    logs, changed = {}, nil
  end

  function keyed.is_paced()
    if s.key_rate_of ~= s.settings then s.key_rate_of, s.key_rate = s.settings, rate.of(s.settings, 'key_rate') end
    return #s.key_rate > 0
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
      known = rate.read(redis.call('HGET', keyed.key_name('logs'), key) or '', s.key_rate)
      for n, log in ipairs(known) do at_present(log, s.key_rate[n]) end
      logs[key] = known
    end
    return known
  end

  -- When the rates of a key let a task of this cost start: `now`, if they do.
  function keyed.opening(key, cost)
    if not keyed.is_paced() then return now end
    local at, units = now, rate.units(cost, s.key_rate)
    for n, log in ipairs(logs_of(key)) do at = math.max(at, rate.opening(log, s.key_rate[n], units)) end
    return at
  end

  -- The same for a waiting task of which the id is known.
  function keyed.opening_for(key, id)
    if not keyed.is_paced() then return now end
    local raw = redis.call('HGET', TASKS, id)
    return keyed.opening(key, raw and extra.cost_in(string.match(raw, '^3[^\n]* (%S+)\n')) or 1)
  end

  -- The most that a start of a key may ever cost.
  function keyed.most_cost()
    return keyed.is_paced() and rate.units(NEVER, s.key_rate) or NEVER
  end

  -- How many more tasks of a key its rates let start now.
  function keyed.left_of(key)
    local left = NEVER
    if keyed.is_paced() then
      for n, log in ipairs(logs_of(key)) do left = math.min(left, (rate.left(log, s.key_rate[n]))) end
    end
    return left
  end

  -- A task of a key starts. Whether its rates remember that.
  function keyed.spend(key, cost)
    if not keyed.is_paced() then return false end
    local units = rate.units(cost, s.key_rate)
    for n, log in ipairs(logs_of(key)) do rate.add(log, s.key_rate[n], units) end
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
    local written, ends, longest, count = {}, {}, 0, 0
    for _, each in ipairs(s.key_rate) do longest = math.max(longest, each.per) end
    for key in pairs(changed) do
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
