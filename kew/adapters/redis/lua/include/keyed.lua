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
  local NAMED = {'1 ', '2 ', '3 '} -- text: Lua would format the number each time
  local LINED = {'line1:', 'line2:', 'line3:'}
  local base, places, leases, holders, held_changed, touched, holders_added, freed

  function keyed.key_name(part)
    return base .. part
  end

  function keyed.line_name(priority, key)
    return base .. (LINED[priority] or 'line' .. priority .. ':') .. key
  end

  -- The key of a new task, and its extras; nil: it has none.
  function keyed.of_new(tail)
    local extras = string.match(tail, '^[^\n]* (%S+)\n')
    return keyed.of({extras = extras, tail = tail}), extras
  end

  -- Whose turn a task waits for, as it is written; nil: no key's.
  function keyed.of(t)
    if t.key then return t.key end
    local key = t.extras and string.match(t.extras, '^key=([^,]+)')
    if not key or is_pinned(function_of(t)) then return nil end
    t.key = key
    return key
  end

  function keyed.begin()
    if keyed.is_used then return end
    keyed.is_used = true
    base = string.sub(PARKED, 1, -7) .. 'keyed:'
    places, leases, holders, held_changed, touched, holders_added, freed = {}, {}, {}, {}, {}, nil, {}
    keyed.begin_limits()
    if not s.keyed then s.keyed = {turn = 0, plain = {0, 0, 0}, waiting = {0, 0, 0}, limits = 0, ends = 0} end
  end

  function keyed.reset()
    keyed.is_used = nil
  end

  -- Read what isn't known yet of these names, in as few commands as can be: one costs as much as ten names more.
  local function read_into(known, command, part, names, take)
    local unknown = {}
    for n = 1, #names do
      if known[names[n]] == nil then unknown[#unknown + 1] = names[n] end
    end
    for first = 1, #unknown, PIECE do
      local found = redis.call(command, base .. part, unpack(unknown, first, math.min(first + PIECE - 1, #unknown)))
      for n = 1, #found do known[unknown[first + n - 1]] = take(found[n], unknown[first + n - 1]) end
    end
  end

  -- The turn of a key in a priority, how many of its tasks wait, and its line. `is_in_ring`: that is where the key is, and nowhere
  -- else; `first`: the entry that will be the first of the line once what was taken has left, and `first_at`, when that is due (nil:
  -- there is none), if they are known (`is_first_known`); `noted_at`: the instant that is noted for the first one, nil: that isn't
  -- known. `has_new`: a task has come into the line since it was read.
  local function new_place(text, name)
    local turn, count = string.match(text or '', '^(%d+) (%d+)$')
    local priority, key = string.byte(name) - 48, string.sub(name, 3)
    return {name = name, priority = priority, key = key, line = keyed.line_name(priority, key), turn = tonumber(turn or 0),
      count = tonumber(count or 0), differs = false, is_in_ring = false, is_first_known = false, has_new = false}
  end

  local function place_of(priority, key)
    local name = NAMED[priority] .. key
    return places[name] or keyed.places_of(priority, {key})[1]
  end

  -- The places of keys, read at once.
  function keyed.places_of(priority, keys)
    local names, found = {}, {}
    for n = 1, #keys do names[n] = NAMED[priority] .. keys[n] end
    read_into(places, 'HMGET', 'turns', names, new_place)
    for n = 1, #keys do found[n] = places[names[n]] end
    return found
  end

  local function touch(place)
    touched[place.name] = place
  end

  function keyed.touch_all(key)
    read_into(places, 'HMGET', 'turns', {NAMED[1] .. key, NAMED[2] .. key, NAMED[3] .. key}, new_place)
    for priority = 1, 3 do
      local place = place_of(priority, key)
      if place.count > 0 then touch(place) end
    end
  end

  -- It may belong elsewhere: its line was changed, or what lets it start.
  function keyed.touch(priority, key)
    local place = place_of(priority, key)
    place.is_first_known = false
    touch(place)
  end

  local function next_turn()
    s.keyed.turn, s.keyed.differs = s.keyed.turn + 1, true
    return s.keyed.turn
  end

  function keyed.count_in_line(priority, change)
    s.keyed.waiting[priority], s.keyed.differs = s.keyed.waiting[priority] + change, true
  end

  local function as_count(score)
    return tonumber(score or 0)
  end

  function keyed.held_of(key)
    if not leases[key] then leases[key] = as_count(redis.call('ZSCORE', base .. 'held', key)) end
    return leases[key]
  end

  -- Read how many leases keys have, at once.
  function keyed.read_held(keys)
    read_into(leases, 'ZMSCORE', 'held', keys, as_count)
  end

  function keyed.is_full(key)
    local limit = keyed.limit_of(key)
    return limit < NEVER and keyed.held_of(key) >= limit
  end

  -- It waits in its line from now on.
  function keyed.put_in_line(t, key, at)
    local priority = priority_of(t)
    local place = place_of(priority, key)
    index(place.line, at, member_of(t))
    keyed.count_in_line(priority, 1)
    place.has_new = true
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
  function keyed.leave(priority, key)
    local place = place_of(priority, key)
    place.count, place.differs = math.max(0, place.count - 1), true
    keyed.touch(priority, key)
  end

  -- The first task of its line starts; the next one is `first`, due at `first_at` (false: there is none, nil: that isn't known).
  function keyed.start(place, member, cost, first, first_at)
    place.count, place.differs = math.max(0, place.count - 1), true
    if place.count > 0 then place.turn = next_turn() end
    place.is_first_known, place.first, place.first_at = first ~= nil and not place.has_new, first, first_at
    touch(place)
    unindex(place.line, member)
    keyed.count_in_line(place.priority, -1)
    keyed.hold(place.key, member, cost)
  end

  -- Whether it was in its line; else it is parked.
  function keyed.dequeue(t, key)
    keyed.begin()
    local priority = priority_of(t)
    keyed.leave(priority, key)
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

  local function as_it_is(value)
    return value
  end

  -- Read at once what `freed` will ask for, if these tasks of keys, by any number, are about to lose their leases.
  function keyed.read_holders(tasks)
    local members, keys = {}, {}
    for _, t in pairs(tasks) do
      if t and t.extras and t.lease ~= '-' and keyed.of(t) then members[#members + 1], keys[#keys + 1] = member_of(t), t.key end
    end
    if #members == 0 then return end
    keyed.begin()
    read_into(holders, 'HMGET', 'holders', members, as_it_is)
    keyed.read_held(keys)
  end

  -- The lease of an entry's task is over. Its key goes on where it is, unless it was at its limit, or may have been at a lower one.
  function keyed.freed(member)
    keyed.begin()
    local key = holders[member]
    if key == nil then key = redis.call('HGET', base .. 'holders', member) end
    holders[member] = false
    if not key then return end
    freed[member] = true
    local held = keyed.held_of(key)
    leases[key] = math.max(0, held - 1)
    held_changed[key] = true
    if held >= keyed.limit_of(key) or keyed.is_reopening() then keyed.touch_all(key) end
  end

  -- It has one more lease, for a task of this cost.
  function keyed.hold(key, member, cost)
    if not holders_added then redis.call('HGET', base .. 'holders', member) end -- fails before anything is written
    leases[key] = keyed.held_of(key) + 1
    held_changed[key] = true
    if keyed.spend(key, cost) or keyed.is_full(key) then keyed.touch_all(key) end
    holders[member], freed[member] = key, nil -- by what this claim rides on
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
    holders[member] = key
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
    if not next(freed) then return end
    local ended = {}
    for member in pairs(freed) do ended[#ended + 1] = member end
    send('HDEL', keyed.key_name('holders'), ended)
    freed = {}
  end

  local function add_to(lists, part, value)
    local list = lists[part]
    if not list then
      list = {}
      lists[part] = list
    end
    list[#list + 1] = value
  end

  local function send_all(command, lists)
    for part, list in pairs(lists) do send(command, base .. part, list) end
  end

  -- Note when the first task of a line is due, or that there is none.
  local function note_first(each, added, removed)
    if not each.is_first_known then
      local first = redis.call('ZRANGE', each.line, '0', '0', 'WITHSCORES')
      each.first, each.first_at, each.noted_at = first[1], tonumber(first[2]), nil
    end
    if not each.first then
      add_to(removed, 'first', each.name)
    elseif each.noted_at ~= each.first_at then
      add_to(added, 'first', int(each.first_at))
      add_to(added, 'first', each.name)
    end
    each.noted_at = each.first_at
  end

  local RING, LATER, PACED = {'ring1', 'ring2', 'ring3'}, {'later1', 'later2', 'later3'}, {'paced1', 'paced2', 'paced3'}

  -- Where a key that may have changed belongs: in its ring, in `later`, in `paced`, or in none of them.
  local function write_rings()
    local added, removed, is_paced = {}, {}, keyed.is_paced()
    for _, each in pairs(touched) do
      local priority, key = each.priority, each.key
      note_first(each, added, removed)
      local at, opening = not keyed.is_full(key) and each.first_at or nil, now
      if at and at <= now and is_paced then opening = keyed.opening_for(key, id_of(each.first)) end
      local part, score = nil, at
      if at and at > now then
        part = LATER[priority]
      elseif opening > now then
        part, score = PACED[priority], opening
      elseif at then
        part, score = RING[priority], each.turn
      end
      if part then
        add_to(added, part, int(score))
        add_to(added, part, key)
        wake(part == RING[priority] and now or score)
      end
      if part ~= RING[priority] then add_to(removed, RING[priority], key) end
      if not each.is_in_ring then
        if part ~= LATER[priority] then add_to(removed, LATER[priority], key) end
        if is_paced and part ~= PACED[priority] then add_to(removed, PACED[priority], key) end
      end
      each.is_in_ring, each.is_first_known = part == RING[priority], false
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
