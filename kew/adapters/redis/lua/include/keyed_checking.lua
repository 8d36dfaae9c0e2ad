-- Whether all that is stored of keys agrees with itself and with the records. `keyed.check` looks at a piece of it and calls
-- `report(kind, what, found, place)` for each fault; examine.lua names the faults, keyed_mending.lua corrects them.
--   key     what: a key      found: how many of its tasks are counted in a priority, and how many are in its line
--   held    what: a key      found: how many leases of it are counted, and how many there are
--   lined   what: a priority found: how many tasks are counted in lines, and how many are
--   limits  what: ''         found: how many limits of keys are counted, and how many there are
--   keyed   what: a key      found: what is wrong, as text
--   waiting what: a task     found: what the record of this entry of a line says
--   moved   what: a task     found: '' (it is in its line, for another instant than it is due)
-- `place` says what a repair needs: `fault`, one of the names in keyed_mending.lua, and what that reads.
-- include: keyed_looking

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.can_check = (function()
  local MOST_COUNTED = 2000 -- keys, or leases, in one call
  local MOST_SECTIONS = 32
  local report, is_settled, lines_limit, long_lines

  local function score_in(part, name)
    local score = redis.call('ZSCORE', keyed.key_name(part), name)
    return score and tonumber(score)
  end

  local function split(name)
    local priority, key = string.match(name, '^([123]) (.*)$')
    return tonumber(priority), key
  end

  -- --- counts

  local function check_held()
    if redis.call('HLEN', keyed.key_name('holders')) > MOST_COUNTED or redis.call('ZCARD', keyed.key_name('held')) > MOST_COUNTED then return end
    local held = {}
    for _, key in ipairs(redis.call('HVALS', keyed.key_name('holders'))) do held[key] = (held[key] or 0) + 1 end
    for _, key in ipairs(redis.call('ZRANGE', keyed.key_name('held'), 0, -1)) do held[key] = held[key] or 0 end
    for key, count in pairs(held) do
      if keyed.held_of(key) ~= count then
        report('held', key, int(keyed.held_of(key)) .. ' ' .. int(count), {fault = 'held', count = count})
      end
    end
  end

  local function check_lines()
    if redis.call('HLEN', keyed.key_name('turns')) > MOST_COUNTED then return end
    local sizes = {0, 0, 0}
    for _, name in ipairs(redis.call('HKEYS', keyed.key_name('turns'))) do
      local priority, key = split(name)
      if priority then sizes[priority] = sizes[priority] + redis.call('ZCARD', keyed.line_name(priority, key)) end
    end
    for priority = 1, 3 do
      local known = s.keyed.waiting[priority]
      if known ~= sizes[priority] then
        report('lined', int(priority), int(known) .. ' ' .. int(sizes[priority]),
          {fault = 'lined', priority = priority, change = sizes[priority] - known})
      end
    end
  end

  local function check_limits()
    local count = redis.call('HLEN', keyed.key_name('limits'))
    local first = redis.call('ZRANGE', keyed.key_name('ends'), 0, 0, 'WITHSCORES')[2]
    if s.keyed.limits ~= count or s.keyed.ends ~= tonumber(first or 0) then
      report('limits', '', int(s.keyed.limits) .. ' ' .. int(count), {fault = 'limits', count = count})
    end
  end

  local function check_counts()
    check_held()
    check_lines()
    check_limits()
  end

  -- --- a key that has tasks in its line

  -- Nil: it stands where it should. Which task of it is due is what the next claim finds out, so the past is all one.
  local function misplaced(priority, key, turn, first)
    local due = tonumber(first[2])
    local ring, later, paced = score_in('ring' .. priority, key), score_in('later' .. priority, key), score_in('paced' .. priority, key)
    local places = (ring and 1 or 0) + (later and 1 or 0) + (paced and 1 or 0)
    if keyed.is_full(key) then return places > 0 and 'is at its limit, and may start' or nil end
    if places == 0 then return 'has tasks, and is not among the keys that may start' end
    if places > 1 then return 'may start twice' end
    if ring and ring ~= turn then return 'has its turn out of order' end
    if later and later ~= due and later ~= 0 then return 'is looked at again at a wrong time' end
    if not paced then return nil end
    if not keyed.is_paced() then return 'waits for a rate that there is not' end
    if not s.keyed.is_behind and paced > math.max(due, keyed.opening_for(key, id_of(first[1]))) then
      return 'waits longer than its rate demands'
    end
  end

  -- The first entries of a line, by record and by instant.
  local function check_entries(priority, key)
    local line = keyed.line_name(priority, key)
    local found, ids = redis.call('ZRANGE', line, 0, lines_limit - 1, 'WITHSCORES'), {}
    for n = 1, #found, 2 do ids[#ids + 1] = id_of(found[n]) end
    for n, t in ipairs(fetch(ids)) do
      local id, entry = ids[n], found[2 * n - 1]
      local is_own = t and t.queue == queue and member_of(t) == entry
      local waits = is_own and is_in_a_set(t) and priority_of(t) == priority and keyed.of(t) == key
      if waits and tonumber(found[2 * n]) ~= ready_at(t) then
        report('moved', id, '', {fault = 'moved', line = line, member = entry, at = ready_at(t), priority = priority, key = key})
      elseif not waits and not (newer and newer[id] or unreadable and unreadable[id]) then
        local state = not t and 'no record' or is_own and 'status ' .. t.status or 'another task of this id'
        report('waiting', id, state, {fault = 'entry', line = line, member = entry, priority = priority, key = key})
      end
    end
    if #found == 2 * lines_limit and long_lines then long_lines[#long_lines + 1] = priority .. ':' .. key end
  end

  local function check_turns(found)
    for n = 1, #found, 2 do
      local priority, key = split(found[n])
      local turn, count = string.match(found[n + 1], '^(%d+) (%d+)$')
      if not priority or not turn then
        report('keyed', key or found[n], 'has no readable turn', {fault = 'unreadable', name = found[n]})
      else
        turn, count = tonumber(turn), tonumber(count)
        local line = keyed.line_name(priority, key)
        local size = redis.call('ZCARD', line)
        if count < size or count > size + s.parked or count == 0 then
          local right = math.max(size, math.min(count, size + s.parked))
          report('key', key, int(count) .. ' ' .. int(size), {fault = 'count', priority = priority, key = key, count = right})
        end
        if turn > s.keyed.turn then
          report('keyed', key, 'has a turn that was never given', {fault = 'turn', turn = turn})
        end
        if size > 0 then
          local first = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')
          local wrong = is_settled and misplaced(priority, key, turn, first)
          if not wrong and score_in('first', found[n]) ~= tonumber(first[2]) then wrong = 'is noted as due at a wrong time' end
          if wrong then report('keyed', key, wrong, {fault = 'place', priority = priority, key = key}) end
          check_entries(priority, key)
        end
      end
    end
  end

  -- --- what names a key or a lease, and may name one that is not there

  local function check_place(part, name, priority, key)
    local size = redis.call('ZCARD', keyed.line_name(priority, key))
    if size == 0 then
      report('keyed', key, 'may start, and none of its tasks waits', {fault = 'ghost', part = part, name = name, priority = priority, key = key})
    elseif redis.call('HEXISTS', keyed.key_name('turns'), priority .. ' ' .. key) == 0 then
      report('keyed', key, 'has tasks, and no turn', {fault = 'count', priority = priority, key = key, count = size})
    end
  end

  local function check_first(found)
    for n = 1, #found, 2 do
      local priority, key = split(found[n])
      if priority then check_place('first', found[n], priority, key) end
    end
  end

  local function check_places(part, priority)
    return function(found)
      for n = 1, #found, 2 do check_place(part .. priority, found[n], priority, found[n]) end
    end
  end

  local function tasks_of(members)
    local ids = {}
    for n, member in ipairs(members) do ids[n] = id_of(member) end
    return fetch(ids)
  end

  local function runs(t, member, key)
    return t and t.status == 'p' and t.queue == queue and member_of(t) == member and keyed.of(t) == key
  end

  local function check_holders(found)
    local members = {}
    for n = 1, #found, 2 do members[#members + 1] = found[n] end
    for n, t in ipairs(tasks_of(members)) do
      local member, key, id = members[n], found[2 * n], id_of(members[n])
      local is_known = t or not (newer and newer[id] or unreadable and unreadable[id])
      if is_known and not (runs(t, member, key) and redis.call('ZSCORE', LEASES, member)) then
        report('keyed', key, 'is held by task ' .. id .. ', which does not run', {fault = 'holder', member = member})
      end
    end
  end

  local function check_leases(found)
    local members, without = {}, {}
    for n = 1, #found, 2 do members[#members + 1] = found[n] end
    if #members == 0 then return end
    for n, key in ipairs(redis.call('HMGET', keyed.key_name('holders'), unpack(members))) do
      if not key then without[#without + 1] = members[n] end
    end
    for n, t in ipairs(tasks_of(without)) do
      local key = t and t.extras and keyed.of(t)
      if key and runs(t, without[n], key) then
        report('keyed', key, 'is not held by task ' .. t.id .. ', which runs', {fault = 'unheld', member = without[n], key = key})
      end
    end
  end

  local function check_own(found)
    for n = 1, #found, 2 do
      local ends = string.match(found[n + 1], '^%S+ %S+ %S+ (%d+)$')
      local noted = score_in('ends', found[n])
      if ends and (noted or 0) ~= tonumber(ends) then
        report('keyed', found[n], 'has limits that end at another time than is noted', {fault = 'end', key = found[n], at = tonumber(ends)})
      end
    end
  end

  local function check_ends(found)
    for n = 1, #found, 2 do
      if redis.call('HEXISTS', keyed.key_name('limits'), found[n]) == 0 then
        report('keyed', found[n], 'has no limits of its own that could end', {fault = 'end', key = found[n], at = 0})
      end
    end
  end

  local function check_logs(found)
    for n = 1, #found, 2 do
      if not score_in('logged', found[n]) then
        report('keyed', found[n], 'has a log of starts that is never forgotten', {fault = 'log', key = found[n]})
      end
    end
  end

  local function check_logged(found)
    for n = 1, #found, 2 do
      if redis.call('HEXISTS', keyed.key_name('logs'), found[n]) == 0 then
        report('keyed', found[n], 'has no log of starts that could be forgotten', {fault = 'unlogged', key = found[n]})
      end
    end
  end

  -- What is looked at, in this order: the command, the part (or none: all at once), and the function. Counts come last, since
  -- what is corrected of the others changes them.
  local SECTIONS = {
    {'HSCAN', 'turns', check_turns}, {'ZSCAN', 'first', check_first}, {'HSCAN', 'holders', check_holders},
    {'ZSCAN', 'leases', check_leases}, {'HSCAN', 'limits', check_own}, {'ZSCAN', 'ends', check_ends}, {'HSCAN', 'logs', check_logs},
    {'ZSCAN', 'logged', check_logged},
  }
  for priority = 1, 3 do
    SECTIONS[#SECTIONS + 1] = {'ZSCAN', 'ring' .. priority, check_places('ring', priority)}
    SECTIONS[#SECTIONS + 1] = {'ZSCAN', 'later' .. priority, check_places('later', priority)}
    SECTIONS[#SECTIONS + 1] = {'ZSCAN', 'paced' .. priority, check_places('paced', priority)}
  end
  SECTIONS[#SECTIONS + 1] = {'', '', check_counts}

  local function read(section, at, limit)
    if section[1] == '' then return '0', {} end
    local key = section[2] == 'leases' and LEASES or keyed.key_name(section[2])
    local reply = redis.call(section[1], key, at, 'COUNT', limit)
    return reply[1], reply[2]
  end

  -- Check a piece of about `limit` entries from this cursor on, and of each line the first `limit_of_lines` entries; `to` is
  -- called with each fault, and `then_do` behind each part. Answers the next cursor, or -1, and the lines that are longer.
  function keyed.check(cursor, limit, limit_of_lines, to, then_do)
    keyed.begin()
    report, lines_limit, long_lines = to, limit_of_lines, {}
    -- While limits that have ended, or changed, are yet to be followed, claims find the keys that stand elsewhere.
    is_settled = then_do or not (s.keyed.ends > 0 and s.keyed.ends <= now or string.find(s.rest, ' reopened=', 1, true))
    local number, at, seen = cursor % MOST_SECTIONS, int(math.floor(cursor / MOST_SECTIONS)), 0
    repeat
      local section = SECTIONS[number + 1]
      local found
      at, found = read(section, at, limit)
      section[3](found)
      if then_do then then_do() end
      seen = seen + #found / 2
      if at == '0' then number = number + 1 end
    until seen >= limit or number == #SECTIONS
    return number < #SECTIONS and number + MOST_SECTIONS * tonumber(at) or -1, long_lines
  end

  return true
end)()
