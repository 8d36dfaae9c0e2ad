-- Waiting tasks with keys: kew.domain.keys. A task with a key waits in the line of its priority and key, whatever its due
-- time; if it was met by a process that can't run it, it is parked like any other. The line's key has an entry in one of
-- three sorted sets of its priority: its ring, by turn, if a task is due; `later`, by the instant at which one will be; or
-- `paced`, by the instant at which its rate lets the first one start. A key at its limit is in none, until `flush` finds that
-- it has been freed. So a claim finds the next key without looking at the others, and what can't start costs nothing.
--   <q>:keyed:line<p>:<key>  sorted set  entries of tasks, by due time
--   <q>:keyed:ring<p>, later<p>, paced<p>  sorted sets  keys
--   <q>:keyed:first  sorted set  '<p> <key>' by when the first task of its line is due, or was
--   <q>:keyed:turns  hash  '<p> <key>': turn, and how many tasks of it wait, parked ones included
--   <q>:keyed:held  sorted set  keys, by how many leases they have;  <q>:keyed:holders  hash  the key of each lease's task
-- The counts of the state have ` keys=`: the last turn, the turns of tasks without a key, and how many tasks wait in lines; and,
-- if one of them isn't 0, whether claims have yet to look at all keys in `paced` again, how many keys have limits of their own,
-- and when the first of these ends.
-- Needs PARKED, queue.
-- include: ready
-- include: keyed_limits

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.is_loaded = (function()
  local base, places, leases, held_changed, touched, holders_added, freed

  function keyed.key_name(part)
    return base .. part
  end

  function keyed.line_name(priority, key)
    return base .. 'line' .. priority .. ':' .. key
  end

  -- The key of a new task, and its extras; nil: it has none.
  function keyed.of_new(tail)
    local extras = string.match(tail, '^[^\n]* (%S+)\n')
    return keyed.of({extras = extras, tail = tail}), extras
  end

  -- Whose turn a task waits for, as it is written; nil: no key's.
  function keyed.of(t)
    local key = t.extras and string.match(t.extras, '^key=([^,]+)')
    if not key or is_pinned(function_of(t)) then return nil end
    return key
  end

  function keyed.begin()
    if keyed.is_used then return end
    keyed.is_used = true
    base = string.sub(PARKED, 1, -7) .. 'keyed:'
    places, leases, held_changed, touched, holders_added, freed = {}, {}, {}, {}, nil, {}
    keyed.begin_limits()
    if not s.keyed then s.keyed = {turn = 0, plain = {0, 0, 0}, waiting = {0, 0, 0}, limits = 0, ends = 0} end
  end

  function keyed.reset()
    keyed.is_used = nil
  end

  -- The turn of a key, and how many of its tasks wait.
  local function place_of(priority, key)
    local name = priority .. ' ' .. key
    local place = places[name]
    if not place then
      local text = redis.call('HGET', keyed.key_name('turns'), name)
      local turn, count = string.match(text or '', '^(%d+) (%d+)$')
      place = {priority = priority, key = key, turn = tonumber(turn or 0), count = tonumber(count or 0)}
      places[name] = place
    end
    return place
  end

  function keyed.touch(priority, key)
    touched[priority .. ' ' .. key] = place_of(priority, key)
  end

  function keyed.touch_all(key)
    for priority = 1, 3 do
      if place_of(priority, key).count > 0 then keyed.touch(priority, key) end
    end
  end

  local function next_turn()
    s.keyed.turn, s.keyed.differs = s.keyed.turn + 1, true
    return s.keyed.turn
  end

  function keyed.count_in_line(priority, change)
    s.keyed.waiting[priority], s.keyed.differs = s.keyed.waiting[priority] + change, true
  end

  function keyed.held_of(key)
    if not leases[key] then leases[key] = tonumber(redis.call('ZSCORE', keyed.key_name('held'), key) or 0) end
    return leases[key]
  end

  function keyed.is_full(key)
    local limit = keyed.limit_of(key)
    return limit < NEVER and keyed.held_of(key) >= limit
  end

  -- It waits in its line from now on.
  function keyed.put_in_line(t, key, at)
    local priority = priority_of(t)
    index(keyed.line_name(priority, key), at, member_of(t))
    keyed.count_in_line(priority, 1)
    keyed.touch(priority, key)
  end

  function keyed.enqueue(t, key, at)
    keyed.begin()
    local place = place_of(priority_of(t), key)
    if place.count == 0 then place.turn = next_turn() end
    place.count, place.differs = place.count + 1, true
    keyed.put_in_line(t, key, at)
  end

  -- One of its tasks waits no more.
  function keyed.leave(priority, key, has_started)
    local place = place_of(priority, key)
    place.count, place.differs = math.max(0, place.count - 1), true
    if has_started and place.count > 0 then place.turn = next_turn() end
    keyed.touch(priority, key)
  end

  -- Whether it was in its line; else it is parked.
  function keyed.dequeue(t, key)
    keyed.begin()
    local priority = priority_of(t)
    keyed.leave(priority, key, false)
    if redis.call('ZREM', keyed.line_name(priority, key), member_of(t)) == 0 then return false end
    keyed.count_in_line(priority, -1)
    return true
  end

  -- A waiting task moves from its place, which `change` does; its key keeps its turn.
  function keyed.keep_turn(t, key, change)
    keyed.begin()
    local place = place_of(priority_of(t), key)
    local turn, last = place.turn, s.keyed.turn
    change()
    place.turn, s.keyed.turn = turn, last
  end

  -- The lease of an entry's task is over.
  function keyed.freed(member)
    keyed.begin()
    local key = not freed[member] and redis.call('HGET', keyed.key_name('holders'), member)
    if not key then return end
    freed[member] = true
    leases[key] = math.max(0, keyed.held_of(key) - 1)
    held_changed[key] = true
    keyed.touch_all(key)
  end

  -- It has one more lease, for a task of this cost.
  function keyed.hold(key, member, cost)
    if not holders_added then redis.call('HGET', keyed.key_name('holders'), member) end -- fails before anything is written
    leases[key] = keyed.held_of(key) + 1
    held_changed[key] = true
    if keyed.spend(key, cost) or keyed.is_full(key) then keyed.touch_all(key) end
    freed[member] = nil -- by what this claim rides on
    holders_added = add_pair(holders_added, member, key)
  end

  -- How many tasks of a key wait.
  function keyed.count_of(key)
    keyed.begin()
    return place_of(1, key).count + place_of(2, key).count + place_of(3, key).count
  end

  function keyed.waiting()
    local waiting = s.keyed.waiting
    return waiting[1] + waiting[2] + waiting[3]
  end

  -- So many tasks of a key wait in a priority.
  function keyed.correct_count(priority, key, count)
    local place = place_of(priority, key)
    if place.count ~= count then place.count, place.differs = count, true end
    if place.differs then keyed.touch(priority, key) end
  end

  -- A key has so many leases.
  function keyed.correct_held(key, count)
    if keyed.held_of(key) == count then return end
    leases[key], held_changed[key] = count, true
    keyed.touch_all(key)
  end

  -- It has a lease that wasn't counted. Its rates know of the start.
  function keyed.hold_again(key, member)
    leases[key], held_changed[key] = keyed.held_of(key) + 1, true
    keyed.touch_all(key)
    holders_added = add_pair(holders_added, member, key)
  end

  -- --- writing

  local function write_turns()
    local written, gone = {}, {}
    for name, place in pairs(places) do
      if place.differs then
        place.differs = nil
        if place.count == 0 then
          gone[#gone + 1] = name
        else
          written[#written + 1], written[#written + 2] = name, string.format('%d %d', place.turn, place.count)
        end
      end
    end
    send('HSET', keyed.key_name('turns'), written)
    send('HDEL', keyed.key_name('turns'), gone)
  end

  local function write_held()
    local written, gone = {}, {}
    for key in pairs(held_changed) do
      if leases[key] == 0 then
        gone[#gone + 1] = key
      else
        written[#written + 1], written[#written + 2] = leases[key], key
      end
    end
    held_changed = {}
    if holders_added then send('HSET', keyed.key_name('holders'), holders_added) end
    holders_added = nil
    send('ZADD', keyed.key_name('held'), written)
    send('ZREM', keyed.key_name('held'), gone)
    local ended = {}
    for member in pairs(freed) do ended[#ended + 1] = member end
    send('HDEL', keyed.key_name('holders'), ended)
    freed = {}
  end

  local function add_to(lists, name, value)
    local list = lists[name] or {}
    lists[name] = list
    list[#list + 1] = value
  end

  local function send_all(command, lists)
    for name, list in pairs(lists) do send(command, name, list) end
  end

  -- Where a key that may have changed belongs: in its ring, in `later`, in `paced`, or in none of them.
  local function write_rings()
    local added, removed = {}, {}
    for name, each in pairs(touched) do
      local priority, key = each.priority, each.key
      local ring, later = keyed.key_name('ring' .. priority), keyed.key_name('later' .. priority)
      local paced = keyed.is_paced() and keyed.key_name('paced' .. priority)
      local first = redis.call('ZRANGE', keyed.line_name(priority, key), 0, 0, 'WITHSCORES')
      add_to(first[2] and added or removed, keyed.key_name('first'), first[2] or name)
      if first[2] then add_to(added, keyed.key_name('first'), name) end
      local at, opening = not keyed.is_full(key) and tonumber(first[2]) or nil, now
      if at and at <= now then opening = keyed.opening_for(key, id_of(first[1])) end
      local place, score = nil, at
      if at and at > now then
        place = later
      elseif opening > now then
        place, score = paced, opening
      elseif at then
        place, score = ring, each.turn
      end
      if place then
        add_to(added, place, int(score))
        add_to(added, place, key)
        wake(place == ring and now or score)
      end
      for _, other in ipairs({ring, later, paced}) do
        if other and other ~= place then add_to(removed, other, key) end
      end
    end
    touched = {}
    send_all('ZADD', added)
    send_all('ZREM', removed)
  end

  function keyed.write_touched()
    if next(touched) then keyed.flush() end
  end

  function keyed.flush()
    write_turns()
    write_held()
    keyed.write_starts()
    write_rings()
  end

  function keyed.text()
    local known = s.keyed
    known.differs = nil
    local more = ''
    if known.is_behind or known.limits > 0 then
      more = string.format(',%d,%d,%d', known.is_behind and 1 or 0, known.limits, known.ends)
    end
    return string.format(' keys=%d,%d,%d,%d,%d,%d,%d', known.turn, known.plain[1], known.plain[2], known.plain[3],
      known.waiting[1], known.waiting[2], known.waiting[3]) .. more
  end

  return true
end)()
