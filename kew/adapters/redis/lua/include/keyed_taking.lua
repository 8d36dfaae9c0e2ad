-- Which tasks with keys a claim takes: kew.domain.keys.in_turn. keyed.lua says where they wait.
-- include: keyed
-- include: keyed_serving

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.can_take = (function()
  local AT_ONCE = 100 -- keys or tasks
  local REPACED_AT_ONCE, REOPENED_AT_ONCE = 500, 50 -- keys: of a priority, and that hold leases

  -- So many tasks without a key have started.
  function keyed.served_plain(priority, count)
    if count == 0 or s.keyed.turn == 0 then return end -- no task has had a key yet
    s.keyed.turn, s.keyed.differs = s.keyed.turn + count, true
    s.keyed.plain[priority] = s.keyed.turn
  end

  -- The rates are others, or the clock has stepped back: keys in `paced` are looked at as if they were due. If there are more
  -- than one call may move, the next calls go on: they move more keys than a claim adds again.
  function keyed.repace()
    local is_behind
    for priority = 1, 3 do
      local popped, due = redis.call('ZPOPMIN', keyed.key_name('paced' .. priority), REPACED_AT_ONCE), {}
      for n = 1, #popped, 2 do due[n], due[n + 1] = 0, popped[n] end
      send('ZADD', keyed.key_name('later' .. priority), due)
      if #due > 0 then wake(now) end
      is_behind = is_behind or #due == 2 * REPACED_AT_ONCE or nil
    end
    if is_behind ~= s.keyed.is_behind then s.keyed.is_behind, s.keyed.differs = is_behind, true end
  end

  -- The limits of keys may be higher: those that hold leases are looked at, some in each call. While there are more, the counts of
  -- the state have ` reopened=`, how far a scan of them has come.
  function keyed.reopen_some(cursor)
    local reply = redis.call('ZSCAN', keyed.key_name('held'), cursor, 'COUNT', REOPENED_AT_ONCE)
    for n = 1, #reply[2], 2 do keyed.touch_all(reply[2][n]) end
    s.rest, s.is_rest_new = string.gsub(s.rest, ' reopened=%d+', ''), true
    if reply[1] ~= '0' then s.rest = s.rest .. ' reopened=' .. reply[1] end
    wake(now)
  end

  function keyed.is_reopening()
    return s.rest ~= '' and string.find(s.rest, ' reopened=', 1, true) ~= nil
  end

  -- Go on with what a call began that changed limits, or met a clock that had stepped back. Whether there is more.
  local function look_again()
    local cursor = string.match(s.rest, ' reopened=(%d+)')
    if s.keyed.is_behind then keyed.repace() elseif cursor then keyed.reopen_some(cursor) end
    return s.keyed.is_behind or keyed.is_reopening()
  end

  -- Keys of which a task has become due since, or whose rate lets one start. Whether there may be more.
  function keyed.promote(priority)
    local is_changing = s.keyed.is_behind or keyed.is_reopening()
    if is_changing then is_changing = look_again() end
    local due = redis.call('ZRANGEBYSCORE', keyed.key_name('later' .. priority), '-inf', NOW, 'LIMIT', 0, AT_ONCE)
    for _, key in ipairs(due) do keyed.touch(priority, key) end
    local open = keyed.is_paced()
      and redis.call('ZRANGEBYSCORE', keyed.key_name('paced' .. priority), '-inf', NOW, 'LIMIT', 0, AT_ONCE) or {}
    for _, key in ipairs(open) do keyed.touch(priority, key) end
    keyed.write_touched()
    keyed.end_snoozes()
    return #due == AT_ONCE or #open == AT_ONCE or is_changing
  end

  -- A parked task that this process can run goes back to its line.
  function keyed.unpark(priority, entry, key)
    keyed.begin()
    unindex(entry.key, entry.member)
    s.parked = s.parked - 1
    count(priority, -1)
    keyed.put_in_line(entry.t, key, int(ready_at(entry.t)))
  end

  local function unpark_all(priority, reasons)
    if s.parked == 0 or #reasons == 0 then return end
    for _, entry in ipairs(keyed.sets_of(priority, reasons, AT_ONCE)) do
      local key = entry.is_parked and keyed.of(entry.t)
      if key then keyed.unpark(priority, entry, key) end
    end
    flush()
  end

  -- What claims need of keys that come next: the first `limit` entries of their lines, and the one that follows each.
  local function read_round(priority, keys, limit)
    local round, ids, many = keyed.read_round(priority, keys), {}, 0
    local heads, befores, line_of, last, ends = round.heads, round.befores, round.line_of, int(limit), 2 * limit
    for n = 1, #keys do
      local found = redis.call('ZRANGE', line_of .. keys[n], '0', last, 'WITHSCORES')
      heads[n], befores[n] = found, many
      local size = #found
      for m = 1, size < ends and size or ends, 2 do
        many = many + 1
        ids[many] = id_of(found[m])
      end
    end
    round.limit, round.tasks = limit, fetch_waiting(ids)
    return round
  end

  -- The line of one of them. `at` is the next entry, due at `due_at`. Before `ends` its tasks are known, `before` of others. `is_all`:
  -- there are no more.
  local function line_in(round, n)
    local key, found, place, limit = round.keys[n], round.heads[n], keyed.place_in(round, n), keyed.limit_of(round.keys[n])
    place.is_in_ring, place.has_new, place.noted_at, place.limit = true, false, found[2], limit
    return {key = key, turn = round.turns and tonumber(round.turns[n]), place = place, limit = limit, entries = found, at = 1,
      due_at = tonumber(found[2]), ends = 2 * round.limit, before = round.befores[n], tasks = round.tasks, is_all = #found <= 2 * round.limit,
      is_done = false}
  end

  local function go_on(line)
    local at = line.at + 2
    line.at, line.due_at = at, tonumber(line.entries[at + 1])
  end

  -- It stays where its record says, but leaves the line.
  local function drop(priority, line, member, t)
    unindex(keyed.line_name(priority, line.key), member)
    keyed.count_in_line(priority, -1)
    keyed.leave(priority, line.key)
    if t and t.newer_raw then extra.park_newer(t) end
  end

  local function set_aside(priority, line, member, score, reason)
    unindex(keyed.line_name(priority, line.key), member)
    keyed.count_in_line(priority, -1)
    keyed.touch(priority, line.key)
    park(priority, reason, score, member)
    count(priority, 1)
    note_parked(reason)
  end

  local known, parked_under -- what was asked last: most tasks are of one function
  local is_paced -- whether keys may have rates

  local function reason_to_park(fn)
    if fn ~= known then known, parked_under = fn, parks(fn) end
    return parked_under
  end

  -- Take the next task of a key: true; nil: it has none now; false: what comes next isn't known. And how many it passed over.
  local function take_next(priority, line, taken)
    local passed, entries, key = 0, line.entries, line.key
    while line.at < line.ends and line.due_at do
      local at = line.at
      local member, t = entries[at], line.tasks[line.before + (at + 1) / 2]
      if line.due_at > now or line.limit < NEVER and keyed.held_of(key) >= line.limit then
        keyed.touch(priority, key)
        return nil, passed
      end
      local is_sound = t and not t.newer_raw and is_in_a_set(t) and t.queue == queue and member_of(t) == member
      local reason = is_sound and reason_to_park(t.fn)
      if is_sound and not reason then
        local cost = t.more and extra.cost_in(t.more) or 1
        if is_paced and keyed.opening(key, cost) > now then
          keyed.touch(priority, key)
          return nil, passed
        end
        if extra.units and not extra.affords(t) then return false, passed end
        if t.beside and not keyed.load(t, taken) then return false, passed end
        go_on(line)
        local place = line.place
        place.first, place.first_at, place.due_at = entries[at + 2] or false, entries[at + 3] or false, line.due_at
        place.is_first_known = (place.first or line.is_all) and not place.has_new
        keyed.start(place, member, cost, is_paced)
        keyed.took(t, taken)
        return true, passed
      end
      if reason then set_aside(priority, line, member, entries[at + 1], reason) else drop(priority, line, member, t) end
      go_on(line)
      passed = passed + 1
    end
    if not line.is_all then return false, passed end
    if passed == 0 and #entries == 0 then keyed.touch(priority, key) end -- nothing of it waits: it leaves the ring
    return nil, passed
  end

  -- Tasks without a key, at most `limit`; how many it passed over.
  local function take_plain(priority, reasons, limit, taken)
    local before, others = #taken, 0
    local room, size = before + limit, limit
    while #taken < room and s.waiting[priority] > 0 and others < AT_ONCE do
      local passed = keyed.take_line(priority, reasons, room, size, taken)
      others, size = others + passed, AT_ONCE
      if passed == 0 then break end
    end
    keyed.served_plain(priority, #taken - before)
    return others
  end

  -- A round in which each key starts at most one task, and nothing holds it back but the number of its leases.
  local function serve_all(round, room, taken)
    local others, at, last = 0, 1, #round.keys
    while others < AT_ONCE do
      at = keyed.serve(round, at, room, taken)
      if at > last or keyed.has_enough(taken, room) then break end
      local is_taken, passed = take_next(round.priority, line_in(round, at), taken)
      others, at = others + passed, at + 1
      if is_taken == false then break end
    end
    return others
  end

  -- The keys of a round that has tasks without a key, or several of each key, take turns.
  local function take_turns(round, reasons, room, taken, has_plain, is_whole)
    local priority, lines, others, is_plain_served, is_known = round.priority, {}, 0, not has_plain, true
    for n = 1, #round.keys do lines[n] = line_in(round, n) end
    repeat
      local before = #taken
      for _, line in ipairs(lines) do
        if others >= AT_ONCE or keyed.has_enough(taken, room) then break end
        if not is_plain_served and s.keyed.plain[priority] < line.turn then
          is_plain_served = true
          others = others + take_plain(priority, reasons, 1, taken)
          if keyed.has_enough(taken, room) then break end
        end
        if not line.is_done then
          local is_taken, passed = take_next(priority, line, taken)
          others = others + passed
          line.is_done = is_taken == nil
          if is_taken == false then is_known = false break end
        end
      end
      if not is_plain_served and is_known and is_whole and #taken < room then
        is_plain_served = true
        others = others + take_plain(priority, reasons, 1, taken)
      end
    until round.limit == 1 or not is_known or #taken == before or keyed.has_enough(taken, room) or others >= AT_ONCE
    return others
  end

  -- One round: each key that comes first takes its turn, or several if these are all. Answers how many it passed over, and
  -- whether the ring is empty. (What is neither taken nor passed over leaves the ring.)
  local function take_round(priority, reasons, room, taken)
    local want, ring, has_plain = math.min(room - #taken, AT_ONCE), keyed.key_name('ring' .. priority), s.waiting[priority] > 0
    local keys, turns = nil, false
    if has_plain then
      local flat = redis.call('ZRANGE', ring, '0', int(want - 1), 'WITHSCORES')
      keys, turns = {}, {}
      for n = 1, #flat, 2 do keys[#keys + 1], turns[#turns + 1] = flat[n], flat[n + 1] end
    else
      keys = redis.call('ZRANGE', ring, '0', int(want - 1))
    end
    if #keys == 0 then return take_plain(priority, reasons, room - #taken, taken), true end
    local round = read_round(priority, keys, has_plain and 1 or math.ceil(want / #keys))
    round.turns = turns
    local others
    if round.limit == 1 and not has_plain and not is_paced then
      others = serve_all(round, room, taken)
    else -- with less than `want` keys none that was not read may come before tasks without a key
      others = take_turns(round, reasons, room, taken, has_plain, #keys < want)
    end
    flush()
    return others
  end

  -- Take from one priority until `room` are taken. Answers how many it passed over, and whether more have become due than one
  -- call looks at.
  function keyed.take(priority, reasons, room, taken)
    keyed.begin()
    known, is_paced = nil, keyed.is_paced()
    unpark_all(priority, reasons)
    local has_more_due, others = keyed.promote(priority), 0
    for _ = 1, AT_ONCE + room do
      if keyed.has_enough(taken, room) or others >= AT_ONCE then break end
      local passed, is_empty = take_round(priority, reasons, room, taken)
      others = others + passed
      if is_empty then break end
    end
    return others, has_more_due
  end

  return true
end)()
