-- Writing what a call has changed of keys, each kind in a few commands for all of them: keyed.lua says what it is.

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.can_write = (function()
  local FEW = {'1', '2', '3', '4', '5', '6', '7', '8', '9'} -- as text
  keyed.FEW = FEW

  -- The turns of keys, and how many of their tasks wait.
  function keyed.write_turns(turned)
    local written, gone = {}, {}
    for n = 1, #turned do
      local place = turned[n]
      local count = place.count
      place.differs = false
      if count == 0 then
        gone[#gone + 1] = place.name
      else
        local m = #written
        written[m + 1], written[m + 2] = place.name, place.turn .. ' ' .. (FEW[count] or int(count))
      end
    end
    send('HSET', keyed.key_name('turns'), written)
    send('HDEL', keyed.key_name('turns'), gone)
  end

  -- Redis keeps a small hash or sorted set as a list, in which it looks for each entry from the beginning, until it meets a text of
  -- more than 64 bytes. This one is neither an entry of a lease nor a key: it is added where many are, and removed at once.
  local LONG, MANY_HOLDERS = '=================================================================', 16 -- texts

  -- The keys of leases that were added, and how many leases keys have, one after the other.
  function keyed.write_leases(holders, held)
    local are_many = #holders >= MANY_HOLDERS
    if are_many then add_pair(holders, LONG, '') end
    send('HSET', keyed.key_name('holders'), holders)
    if are_many then
      redis.call('HDEL', keyed.key_name('holders'), LONG)
      add_pair(held, '1', LONG)
    end
    send('ZADD', keyed.key_name('held'), held)
    if are_many then redis.call('ZREM', keyed.key_name('held'), LONG) end
  end

  -- How many leases keys have, and whose they are: those that were added, one after the other (nil: none), and those that have ended,
  -- but for one that was granted again since.
  function keyed.write_held(changed, leases, holders, added, freed)
    local written, gone, ended = {}, {}, {}
    for key in pairs(changed) do
      local held = leases[key]
      if held == 0 then
        gone[#gone + 1] = key
      else
        local m = #written
        written[m + 1], written[m + 2] = FEW[held] or int(held), key
      end
    end
    for n = 1, #freed do
      if not holders[freed[n]] then ended[#ended + 1] = freed[n] end
    end
    keyed.write_leases(added or {}, written)
    send('ZREM', keyed.key_name('held'), gone)
    send('HDEL', keyed.key_name('holders'), ended)
  end

  local function send_all(command, lists)
    for part, list in pairs(lists) do send(command, keyed.key_name(part), list) end
  end

  local function add_to(lists, part, first, second)
    local list = lists[part]
    if not list then
      lists[part] = {first, second}
      return
    end
    local m = #list
    list[m + 1], list[m + 2] = first, second
  end

  local RING, LATER, PACED = {'ring1', 'ring2', 'ring3'}, {'later1', 'later2', 'later3'}, {'paced1', 'paced2', 'paced3'}

  -- Where a key that may have changed belongs: in its ring, in `later`, in `paced`, or in none of them; and when the first task of
  -- its line is due.
  function keyed.write_places(places)
    local added, removed, is_paced = {}, {}, keyed.is_paced()
    for n = 1, #places do
      local each = places[n]
      local priority, key, first, first_at, at = each.priority, each.key, each.first, each.first_at, each.due_at
      if not each.is_first_known then
        local found = redis.call('ZRANGE', each.line, '0', '0', 'WITHSCORES')
        first, first_at, at, each.noted_at = found[1], found[2], tonumber(found[2]), nil
      end
      if not first then
        add_to(removed, 'first', each.name)
      elseif each.noted_at ~= first_at then
        add_to(added, 'first', first_at, each.name)
      end
      each.noted_at, each.is_first_known, each.is_touched = first_at, false, false
      local ring, part, score = RING[priority], nil, nil
      if first and keyed.held_of(key) < (each.limit or keyed.limit_of(key)) then
        local opening = now
        if at > now then
          part, score = LATER[priority], first_at
          wake(at)
        else
          if is_paced then opening = keyed.opening_for(key, id_of(first)) end
          if opening > now then
            part, score = PACED[priority], int(opening)
            wake(opening)
          else
            part, score = ring, each.turn
            wake(now)
          end
        end
      end
      if part then add_to(added, part, score, key) end
      if part ~= ring then add_to(removed, ring, key) end
      if not each.is_in_ring then
        if part ~= LATER[priority] then add_to(removed, LATER[priority], key) end
        if is_paced and part ~= PACED[priority] then add_to(removed, PACED[priority], key) end
      end
      each.is_in_ring = part == ring
    end
    send_all('ZADD', added)
    send_all('ZREM', removed)
  end

  return true
end)()
