-- What the rates of keys, and snoozes of keys, let start: kew.domain.key_rooms. What is said of a key's log depends on the log and the clock alone.
--   <q>:keyed:logs  hash  the starts of each key, as the gate `rate` writes those of a queue. Before them a snooze of the key, as
--     the log of a rate without a window: '0 length 0 until 0 0'
--   <q>:keyed:limits  hash  the limits that keys have of their own: workers, rates, size ('-': as declared), and when they end (0: once
--     they are removed)
--   <q>:keyed:ends  sorted set  their keys, by when they end
--   <q>:keyed:logged  sorted set  their keys, by when they say nothing any more
-- While a key may be snoozed, the counts of the state have ` key_snoozes=`, the instant at which the last snooze ends.
-- include: gates
-- include: record

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.has_limits = (function()
  local FORGOTTEN_AT_ONCE = 2 -- for each log that is written
  local ENDED_AT_ONCE = 100 -- limits of keys
  local SNOOZE = '^0 (%d+) 0 (%d+) 0 0 ?'
  local logs, owns, changed, snoozes, snoozed_count
  local workers, workers_by -- how many tasks of a key may run at once that has no limit of its own, and the settings that say so
  local rate = GATES.rate
  local byte

  function keyed.begin_limits()
    logs, owns, changed, snoozes, snoozed_count = {}, {}, nil, {}, 0
    workers_by, byte = nil, string.byte
  end

  -- When the last snooze of a key ends; nil: none is snoozed.
  local function last_snooze()
    return s.rest ~= '' and tonumber(string.match(s.rest, ' key_snoozes=(%d+)')) or nil
  end

  local function remember_snooze(at)
    s.rest = string.gsub(s.rest, ' key_snoozes=%d+', '')
    if at then s.rest = s.rest .. ' key_snoozes=' .. int(at) end
    s.is_rest_new = true
  end

  -- Whether keys may wait for an instant: for their rates, or for the end of a snooze.
  function keyed.is_paced()
    return keyed.has_rates() or last_snooze() ~= nil
  end

  function keyed.has_rates()
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
    if workers_by ~= s.settings then workers, workers_by = setting('key_workers') or NEVER, s.settings end
    if byte(key) == 108 and string.sub(key, 1, 7) == 'latest:' then return 1 end
    if s.keyed.limits == 0 then return workers end
    local own = keyed.own(key)
    return own and own.workers or workers
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
    for priority = 1, 3 do redis.call('ZREM', keyed.key_name('paced' .. priority), key) end -- no other rate may look there
    owns[key], logs[key] = false, nil
    keyed.forget_limit(key)
    keyed.touch_all(key)
    return true
  end

  -- So many keys have limits of their own.
  function keyed.correct_limits(count)
    s.keyed.limits = count
    note_first_end()
  end

  -- The limits of a key end then; 0: never, or it has none.
  function keyed.correct_end(key, at)
    if at > 0 then redis.call('ZADD', keyed.key_name('ends'), int(at), key) else redis.call('ZREM', keyed.key_name('ends'), key) end
    note_first_end()
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
      keyed.forget_limit(key)
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
    keyed.flush() -- whether the claim looks at keys or not
  end

  -- No key waits for the end of a snooze any more, nor will after a step back of the clock: no log has one.
  function keyed.end_snoozes()
    local last = last_snooze()
    if not last or last > now or keyed.has_rates() then return end
    if redis.call('EXISTS', keyed.key_name('logs'), keyed.key_name('paced1'), keyed.key_name('paced2'), keyed.key_name('paced3')) == 0 then
      remember_snooze(nil)
    end
  end

  -- The snooze of a key: when it ends (`now`: there is none; one that would last longer than was asked doesn't count, since the
  -- clock stepped back), and the rest of its log.
  local function snooze_of(key)
    local known = snoozes[key]
    if known then return known.ends, known.rest end
    local text = redis.call('HGET', keyed.key_name('logs'), key) or ''
    local length, until_at = string.match(text, SNOOZE)
    if not length then return now, text end
    local ends = tonumber(until_at)
    return ends > now and ends <= now + length and ends or now, (string.gsub(text, SNOOZE, ''))
  end

  -- A key starts nothing for so long, unless it is snoozed for longer already.
  function keyed.hold_back(key, length)
    keyed.begin()
    local ends, rest = snooze_of(key)
    if length <= 0 or ends >= now + length then return end
    snoozes[key], snoozed_count = {ends = now + length, length = length, rest = rest, is_new = true}, snoozed_count + 1
    remember_snooze(math.max(last_snooze() or 0, now + length))
    keyed.touch_all(key)
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

  -- When what is logged of a key's starts says nothing any more, even of those that lie ahead of the clock.
  local function forgotten_at(key)
    local longest, latest, rates = 0, now, keyed.has_rates() and keyed.rates_of(key) or {}
    for n, log in ipairs(#rates > 0 and logs_of(key) or {}) do
      longest, latest = math.max(longest, rates[n].per), math.max(latest, log.starts[#log.starts - 1] or 0)
    end
    return latest + 2 * longest
  end

  local function write_snoozes()
    if snoozed_count == 0 then return end
    local written, ends, count = {}, {}, snoozed_count
    for key, each in pairs(snoozes) do
      if each.is_new then
        each.is_new = nil
        written[#written + 1] = key
        written[#written + 1] = string.format('0 %d 0 %d 0 0', each.length, each.ends) .. (each.rest == '' and '' or ' ' .. each.rest)
        ends[#ends + 1], ends[#ends + 2] = int(math.max(forgotten_at(key), each.ends)), key
      end
    end
    snoozed_count = 0
    send('HSET', keyed.key_name('logs'), written)
    send('ZADD', keyed.key_name('logged'), ends)
    keyed.forget_logs(FORGOTTEN_AT_ONCE * count)
  end

  -- When the rates of a key, and its snooze, let a task of this cost start: `now`, if they do.
  function keyed.opening(key, cost)
    if not keyed.is_paced() then return now end
    local at, rates = last_snooze() and snooze_of(key) or now, keyed.rates_of(key)
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
    return keyed.has_rates() and rate.units(NEVER, keyed.rates_of(key)) or NEVER
  end

  -- How many more tasks of a key its rates let start now.
  function keyed.left_of(key)
    local left = NEVER
    if last_snooze() and snooze_of(key) > now then return 0 end
    if keyed.has_rates() then
      local rates = keyed.rates_of(key)
      for n, log in ipairs(#rates > 0 and logs_of(key) or {}) do left = math.min(left, (rate.left(log, rates[n]))) end
    end
    return left
  end

  -- A task of a key starts. Whether its rates remember that.
  function keyed.spend(key, cost)
    local rates = keyed.has_rates() and keyed.rates_of(key) or {}
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

  -- Maintenance forgets them, too, so that a snooze is forgotten where no key starts anything.
  function keyed.forget_old_logs(limit)
    local gone = redis.call('ZRANGEBYSCORE', keyed.key_name('logged'), '-inf', NOW, 'LIMIT', 0, limit)
    for _, key in ipairs(gone) do
      logs[key], snoozes[key] = nil, nil
      keyed.touch_all(key)
    end
    send('HDEL', keyed.key_name('logs'), gone)
    send('ZREM', keyed.key_name('logged'), gone)
    keyed.write_touched()
    keyed.end_snoozes()
  end

  function keyed.write_starts()
    write_snoozes()
    if not changed then return end
    local written, ends, count = {}, {}, 0
    for key in pairs(changed) do
      count = count + 1
      written[#written + 1], written[#written + 2] = key, rate.write(logs[key])
      ends[#ends + 1], ends[#ends + 2] = int(forgotten_at(key)), key
    end
    changed = nil
    send('HSET', keyed.key_name('logs'), written)
    send('ZADD', keyed.key_name('logged'), ends)
    keyed.forget_logs(FORGOTTEN_AT_ONCE * count)
  end

  return true
end)()
