-- The common case of a claim: a key starts one task, and goes on waiting in its ring or leaves it, and nothing but the number of its
-- leases could hold it back. What is to be written is collected in flat lists, and there is no table for each key.
-- include: keyed

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.can_serve = (function()
  local RING = {'ring1', 'ring2', 'ring3'}
  local served -- since the last flush; false: nothing

  function keyed.begin_serving()
    served = false
  end

  local function waits_elsewhere(priority)
    for each = 1, 3 do
      if each ~= priority and s.keyed.waiting[each] > 0 then return true end
    end
    return false
  end

  -- Serve the keys of a round from the one at `from`, until `room` tasks are taken. Answers at which key it stopped: if there was
  -- room, this key isn't such a case.
  function keyed.serve(round, from, room, taken)
    served = served or {priority = round.priority, ring = {}, left = {}, turns = {}, turns_left = {}, firsts = {}, firsts_left = {},
      held = {}, holders = {}, lines = {}, members = {}}
    local keys, names, texts, heads, tasks, befores = round.keys, round.names, round.texts, round.heads, round.tasks, round.befores
    local places, leases, scores, line_of = round.places, round.leases, round.held, round.line_of
    local counts, FEW = round.counts, keyed.FEW
    local ring, turns, firsts, held_now, holders = served.ring, served.turns, served.firsts, served.held, served.holders
    local lines, members, match, byte = served.lines, served.members, string.match, string.byte
    local many, before, units, turn, workers, is_elsewhere = #taken, #taken, extra.units, s.keyed.turn, keyed.limit_of(''), waits_elsewhere(round.priority)
    local at, last, m, r, u, f = from, #keys, #lines, #ring, #turns, #firsts
    local fn, is_runnable, due, next_due
    while at <= last and many < room and bytes_taken < MOST_BYTES do
      local key, name, head, t = keys[at], names[at], heads[at], tasks[befores[at] + 1]
      local member, first_at, following_at = head[1], head[2], head[4]
      if not t or t.more or t.beside or t.newer_raw or t.queue ~= queue or not is_in_a_set(t) or member_of(t) ~= member then break end
      if t.fn ~= fn then fn, is_runnable = t.fn, not parks(t.fn) end
      local place, count = places[name], match(texts[at] or '', '^%d+ (%d+)$')
      if not is_runnable or not count or place and (place.differs or place.is_touched) then break end
      if first_at ~= due then -- most are due at the same instant as the one before
        if tonumber(first_at) > now then break end
        due = first_at
      end
      if following_at and following_at ~= next_due then
        if tonumber(following_at) > now then break end
        next_due = following_at
      end
      local limit, known, left, number = workers, leases[key], count - 1, nil
      local held = (known or counts[scores[at]] or tonumber(scores[at])) + 1
      if byte(key) == 108 then limit = keyed.limit_of(key) end
      if held > limit or held == limit and is_elsewhere or units and units < 1 or following_at and left < 1 then break end
      -- It starts.
      if m == 0 then redis.call('HGET', keyed.key_name('holders'), member) end -- fails before anything is written
      many, at = many + 1, at + 1
      taken[many], bytes_taken = t, bytes_taken + #t.body
      if units then units = units - 1 end
      if known then leases[key] = held end
      if place then places[name] = nil end
      m = m + 1
      lines[m], members[m] = line_of .. key, member
      held_now[2 * m - 1], held_now[2 * m] = FEW[held] or int(held), key
      holders[2 * m - 1], holders[2 * m] = member, key
      if left > 0 then
        turn = turn + 1
        number = int(turn)
        turns[u + 1], turns[u + 2] = name, number .. ' ' .. (FEW[left] or int(left))
        u = u + 2
      else
        append(served, 'turns_left', name)
      end
      if following_at and held < limit then
        ring[r + 1], ring[r + 2] = number, key
        r = r + 2
      else
        append(served, 'left', key)
      end
      if not following_at then
        append(served, 'firsts_left', name)
      elseif following_at ~= first_at then
        firsts[f + 1], firsts[f + 2] = following_at, name
        f = f + 2
      end
    end
    if many > before then
      s.keyed.turn, s.keyed.differs = turn, true
      s.keyed.waiting[round.priority] = s.keyed.waiting[round.priority] - (many - before)
      extra.units = units
      if r > 0 then wake(now) end
    end
    return at
  end

  function keyed.write_served()
    if not served then return end
    local ring = keyed.key_name(RING[served.priority])
    send('HSET', keyed.key_name('turns'), served.turns)
    send('HDEL', keyed.key_name('turns'), served.turns_left)
    keyed.write_leases(served.holders, served.held)
    send('ZADD', keyed.key_name('first'), served.firsts)
    send('ZREM', keyed.key_name('first'), served.firsts_left)
    send('ZADD', ring, served.ring)
    send('ZREM', ring, served.left)
    local lines, members = served.lines, served.members
    for n = 1, #lines do redis.call('ZREM', lines[n], members[n]) end
    served = false
  end

  return true
end)()
