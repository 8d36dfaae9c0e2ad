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
-- include: keyed_writing

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.is_loaded = (function()
  local NAMED = {'1 ', '2 ', '3 '} -- text: Lua would format the number each time
  local LINED = {'line1:', 'line2:', 'line3:'}
  local FEW_LEASES = {[false] = 0, ['1'] = 1, ['2'] = 2, ['3'] = 3, ['4'] = 4} -- of leases, as Redis says them
  local looked_at, is_open -- the rest of the counts, and whether they say that limits were changed: mostly they are the same
  local base, line_of, places, turned, leases, holders, held_changed, touched, holders_added, ended
  local freeing -- keys, of which `read_holders` has read how many leases they have

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
    local key = t.key
    if key then return key end
    key = t.extras and string.match(t.extras, '^key=([^,]+)')
    if not key or is_pinned(function_of(t)) then return nil end
    t.key = key
    return key
  end

  function keyed.begin()
    if keyed.is_used then return end
    keyed.is_used = true
    base = string.sub(PARKED, 1, -7) .. 'keyed:'
    line_of = {base .. LINED[1], base .. LINED[2], base .. LINED[3]}
    places, turned, leases, holders, held_changed, touched, holders_added, ended = {}, {}, {}, {}, {}, {}, nil, {}
    looked_at, freeing = nil, {}
    keyed.begin_limits()
    keyed.begin_serving()
    if not s.keyed then s.keyed = {turn = 0, plain = {0, 0, 0}, waiting = {0, 0, 0}, limits = 0, ends = 0} end
  end

  function keyed.reset()
    keyed.is_used = nil
  end

  -- Read fields of a hash, or scores, of any number of names, in few commands: one costs as much as ten names more.
  local function read_all(command, part, names)
    if #names <= PIECE then return #names == 0 and {} or redis.call(command, base .. part, unpack(names)) end
    local all = {}
    for first = 1, #names, PIECE do
      for _, each in ipairs(redis.call(command, base .. part, unpack(names, first, math.min(first + PIECE - 1, #names)))) do
        all[#all + 1] = each
      end
    end
    return all
  end

  -- The turn of a key in a priority, how many of its tasks wait, the key of its line, and what a call finds out and changes:
  --   first       the entry that will be the first of the line once what was taken has left, `first_at`, when that is due, as text,
  --     and `due_at`, as a number (false: there is none), if they are known: `is_first_known`
  --   noted_at    the instant that is noted for the first entry; false: that isn't known
  --   has_new     a task has come into the line since it was read
  --   is_in_ring  that is where the key is, and nowhere else
  --   limit       how many leases the key may have, if a claim has looked that up
  local function new_place(text, name, priority, key)
    local turn, count = string.match(text or '', '^(%d+) (%d+)$')
    local place = {
      name = name, priority = priority, key = key, turn = turn or '0', count = tonumber(count or 0), line = line_of[priority] .. key,
      first = false, first_at = false, due_at = false, is_first_known = false, noted_at = false, has_new = false, is_in_ring = false,
      limit = false, differs = false, is_touched = false,
    }
    places[name] = place
    return place
  end

  local function place_of(priority, key)
    local name = NAMED[priority] .. key
    return places[name] or new_place(redis.call('HGET', base .. 'turns', name), name, priority, key)
  end

  -- What is stored of the keys of a round, read at once: the names of their places, and what is written there and how many leases
  -- they have, unless `places` and `leases` know better.
  function keyed.read_round(priority, keys)
    local prefix, names = NAMED[priority], {}
    for n = 1, #keys do names[n] = prefix .. keys[n] end
    return {priority = priority, keys = keys, names = names, texts = read_all('HMGET', 'turns', names), held = read_all('ZMSCORE', 'held', keys),
      places = places, leases = leases, counts = FEW_LEASES, line_of = line_of[priority], befores = {}, heads = {}, tasks = false}
  end

  -- The place of the key at `n` of a round, of which tasks are about to start.
  function keyed.place_in(round, n)
    local key, name = round.keys[n], round.names[n]
    if not leases[key] then leases[key] = FEW_LEASES[round.held[n]] or tonumber(round.held[n]) end
    return places[name] or new_place(round.texts[n], name, round.priority, key)
  end

  local function touch(place)
    if place.is_touched then return end
    place.is_touched = true
    touched[#touched + 1] = place
  end

  local function note_change(place)
    if place.differs then return end
    place.differs = true
    turned[#turned + 1] = place
  end

  -- Read the places of a key in all priorities, and those of other keys that are about to lose a lease and are at their limits.
  local function read_places(key)
    local names, found, many = {}, {}, 0
    local function want(each)
      for priority = 1, 3 do
        local name = NAMED[priority] .. each
        if not places[name] then
          many = many + 1
          names[many], found[name] = name, {priority, each}
        end
      end
    end
    want(key)
    for n = 1, #freeing do
      local other = freeing[n]
      if other ~= key and leases[other] >= keyed.limit_of(other) then want(other) end
    end
    freeing = {}
    local texts = read_all('HMGET', 'turns', names)
    for n = 1, many do
      local name = names[n]
      if not places[name] then new_place(texts[n], name, found[name][1], found[name][2]) end
    end
  end

  function keyed.touch_all(key)
    for priority = 1, 3 do
      local name = NAMED[priority] .. key
      if not places[name] then read_places(key) end
      local place = places[name]
      if place.count > 0 then touch(place) end
    end
  end

  -- The limits of a key have changed.
  function keyed.forget_limit(key)
    for priority = 1, 3 do
      local place = places[NAMED[priority] .. key]
      if place then place.limit = false end
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
    return int(s.keyed.turn)
  end

  function keyed.count_in_line(priority, change)
    s.keyed.waiting[priority], s.keyed.differs = s.keyed.waiting[priority] + change, true
  end

  function keyed.held_of(key)
    if not leases[key] then leases[key] = tonumber(redis.call('ZSCORE', base .. 'held', key) or 0) end
    return leases[key]
  end

  -- Read how many leases keys have, at once.
  local function read_held(keys)
    local scores = read_all('ZMSCORE', 'held', keys)
    for n = 1, #keys do
      local key, score = keys[n], scores[n]
      if not leases[key] then leases[key] = FEW_LEASES[score] or tonumber(score) end
    end
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
    place.count = place.count + 1
    note_change(place)
    keyed.put_in_line(t, key, at)
  end

  -- One of its tasks waits no more.
  function keyed.leave(priority, key)
    local place = place_of(priority, key)
    place.count = math.max(0, place.count - 1)
    note_change(place)
    keyed.touch(priority, key)
  end

  -- The first task of its line starts, and has a lease. `limit` and what comes `first` then are known. `is_paced`: keys may have rates.
  function keyed.start(place, member, cost, is_paced)
    local key, known, priority, count = place.key, s.keyed, place.priority, place.count
    count = count > 0 and count - 1 or 0
    place.count = count
    if count > 0 then place.turn = next_turn() end
    known.waiting[priority], known.differs = known.waiting[priority] - 1, true
    note_change(place)
    touch(place)
    unindex(place.line, member)
    if not holders_added then redis.call('HGET', base .. 'holders', member) end -- fails before anything is written
    local held = (leases[key] or keyed.held_of(key)) + 1
    leases[key], held_changed[key] = held, true
    if is_paced and keyed.spend(key, cost) or held >= place.limit then keyed.touch_all(key) end
    holders[member] = key
    holders_added = add_pair(holders_added, member, key)
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

  -- Read at once what `freed` will ask for, if these tasks are about to lose their leases; false: one that is unknown.
  function keyed.read_holders(tasks)
    local members, keys = {}, {}
    local many = 0
    for n = 1, #tasks do
      local t = tasks[n]
      local key = t and t.extras and t.lease ~= '-' and (t.key or keyed.of(t))
      if key then
        many = many + 1
        members[many], keys[many] = member_of(t), key
      end
    end
    if many == 0 then return end
    keyed.begin()
    local found = read_all('HMGET', 'holders', members)
    for n = 1, many do
      local member = members[n]
      if holders[member] == nil then holders[member] = found[n] end
    end
    read_held(keys)
    freeing = keys
  end

  -- The lease of an entry's task is over. Its key goes on where it is, unless it was at its limit, or may have been at a lower one.
  function keyed.freed(member)
    if not keyed.is_used then keyed.begin() end
    local key = holders[member]
    if key == nil then key = redis.call('HGET', base .. 'holders', member) end
    holders[member] = false
    if not key then return end
    ended[#ended + 1] = member
    local held = leases[key] or keyed.held_of(key)
    leases[key], held_changed[key] = held > 0 and held - 1 or 0, true
    if looked_at ~= s.rest then looked_at, is_open = s.rest, keyed.is_reopening() end
    if is_open or held >= keyed.limit_of(key) then keyed.touch_all(key) end
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
    if place.count ~= count then
      place.count = count
      note_change(place)
    end
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

  function keyed.write_touched()
    if #touched > 0 then keyed.flush() end
  end

  function keyed.flush()
    if #turned > 0 then keyed.write_turns(turned) end
    if next(held_changed) then keyed.write_held(held_changed, leases, holders, holders_added, ended) end
    keyed.write_starts()
    if #touched > 0 then keyed.write_places(touched) end
    turned, touched, held_changed, ended, holders_added = {}, {}, {}, {}, nil
    keyed.write_served()
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
