-- What maintenance corrects of keys, each in bounded pieces: what a call that Redis aborted left wrong, and what a process of an
-- older version left that purged the queue. The field `mended` says how far they were looked at.
-- include: keyed_checking

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.can_mend = (function()
  local AT_ONCE = 100 -- keys, or leases
  local KEYS_AT_ONCE = 20 -- of which tasks are removed
  local LOOKED_AT_OF_A_LINE = 3 -- entries
  local LOGGED_MS = 24 * 3600 * 1000 -- for which a log is kept of which nothing says how long

  local function move_out(place)
    for _, part in ipairs({'ring', 'later', 'paced'}) do redis.call('ZREM', keyed.key_name(part .. place.priority), place.key) end
    keyed.touch(place.priority, place.key)
  end

  -- How each kind of fault is corrected: what keyed_checking.lua says of its place.
  local CORRECT = {
    count = function(place) keyed.correct_count(place.priority, place.key, place.count) end,
    held = function(place, key) keyed.correct_held(key, place.count) end,
    lined = function(place) keyed.count_in_line(place.priority, place.change) end,
    limits = function(place) keyed.correct_limits(place.count) end,
    turn = function(place) s.keyed.turn, s.keyed.differs = math.max(s.keyed.turn, place.turn), true end,
    unreadable = function(place) redis.call('HDEL', keyed.key_name('turns'), place.name) end, -- what follows finds the line again
    place = move_out,
    ghost = function(place)
      redis.call('ZREM', keyed.key_name(place.part), place.name)
      move_out(place)
    end,
    entry = function(place)
      unindex(place.line, place.member)
      keyed.count_in_line(place.priority, -1)
      keyed.leave(place.priority, place.key, false)
    end,
    moved = function(place)
      index(place.line, int(place.at), place.member)
      keyed.touch(place.priority, place.key)
    end,
    holder = function(place) keyed.freed(place.member) end,
    unheld = function(place) keyed.hold_again(place.key, place.member) end,
    ['end'] = function(place) keyed.correct_end(place.key, place.at) end,
    log = function(place) redis.call('ZADD', keyed.key_name('logged'), int(now + LOGGED_MS), place.key) end,
    unlogged = function(place) redis.call('ZREM', keyed.key_name('logged'), place.key) end,
  }

  local function correct(_, what, _, place)
    CORRECT[place.fault](place, what)
  end

  -- Remove the first tasks of a line whose records nothing else knows; whether there are no more.
  local function remove_tasks(line)
    local members, ids, gone = redis.call('ZRANGE', line, 0, AT_ONCE - 1), {}, {}
    for n, member in ipairs(members) do ids[n] = id_of(member) end
    for n, t in ipairs(fetch(ids)) do
      if t and t.queue == queue and member_of(t) == members[n] and is_in_a_set(t) then gone[#gone + 1] = ids[n] end
    end
    send('HDEL', TASKS, gone)
    send('HDEL', CONTENTS, gone)
    send('ZREM', line, members)
    return #members < AT_ONCE
  end

  -- What was left of keys of a queue that has none: a process of an older version purged it. Only a piece of it, if it is large.
  local function remove_rest()
    keyed.begin()
    for _, name in ipairs(redis.call('HRANDFIELD', keyed.key_name('turns'), KEYS_AT_ONCE) or {}) do
      if remove_tasks(keyed.line_name(string.sub(name, 1, 1), string.sub(name, 3))) then
        redis.call('HDEL', keyed.key_name('turns'), name)
      end
    end
    if redis.call('EXISTS', keyed.key_name('turns')) == 0 then
      for _, part in ipairs({'held', 'holders', 'first', 'logs', 'logged', 'limits', 'ends'}) do redis.call('UNLINK', keyed.key_name(part)) end
      for priority = 1, 3 do
        for _, part in ipairs({'ring', 'later', 'paced'}) do redis.call('UNLINK', keyed.key_name(part .. priority)) end
      end
    end
    s.keyed = false
  end

  function keyed.mend()
    if not s.keyed then
      local base = string.sub(PARKED, 1, -7) .. 'keyed:'
      if redis.call('EXISTS', base .. 'turns', base .. 'held', base .. 'holders') > 0 then remove_rest() end
      return
    end
    keyed.begin()
    local mended = tonumber(string.match(redis.call('HGET', STATE, 'mended') or '', '^%d+$') or 0)
    local after_this = math.max(0, (keyed.check(mended, AT_ONCE, LOOKED_AT_OF_A_LINE, correct, flush)))
    keyed.forget_old_logs(AT_ONCE)
    if after_this ~= mended then redis.call('HSET', STATE, 'mended', int(after_this)) end
  end

  return true
end)()
