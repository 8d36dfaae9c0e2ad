-- What maintenance corrects of keys, each in bounded pieces: what a call that Redis aborted left wrong, and what a process of an
-- older version left that purged the queue. The field `mended` says how far turns and leases were looked at.
-- include: keyed_looking

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
keyed.can_mend = (function()
  local AT_ONCE = 100 -- keys, or leases
  local KEYS_AT_ONCE = 20 -- of which tasks are removed
  local MOST_RECOUNTED = 500 -- leases

  -- As many tasks of a key wait as its line has, and at most the parked ones as well. Answers how many are in its line.
  local function mend_place(name, text)
    local priority, key = string.match(name, '^([123]) (.*)$')
    local count = tonumber(string.match(text, '^%d+ (%d+)$'))
    if not count then return 0 end
    local size = redis.call('ZCARD', keyed.line_name(priority, key))
    keyed.correct_count(tonumber(priority), key, math.max(size, math.min(count, size + s.parked)))
    local is_placed = size == 0 or keyed.is_full(key)
    for _, part in ipairs({'ring', 'later', 'paced'}) do
      is_placed = is_placed or redis.call('ZSCORE', keyed.key_name(part .. priority), key)
    end
    local is_noted = redis.call('ZSCORE', keyed.key_name('first'), name) and true or false -- earlier versions noted none
    if not is_placed or is_noted ~= (size > 0) then keyed.touch(tonumber(priority), key) end
    return size
  end

  local function mend_turns(cursor)
    local reply, sizes = redis.call('HSCAN', keyed.key_name('turns'), cursor, 'COUNT', AT_ONCE), {0, 0, 0}
    for n = 1, #reply[2], 2 do
      local priority = string.byte(reply[2][n]) - 48
      sizes[priority] = sizes[priority] + mend_place(reply[2][n], reply[2][n + 1])
    end
    local is_all = cursor == '0' and reply[1] == '0'
    for priority = 1, 3 do
      local known = s.keyed.waiting[priority]
      local wrong = is_all and sizes[priority] - known or math.max(0, sizes[priority] - known)
      if wrong ~= 0 then keyed.count_in_line(priority, wrong) end
    end
    return reply[1]
  end

  -- What is held under leases that are over.
  local function mend_holders(cursor)
    local reply = redis.call('HSCAN', keyed.key_name('holders'), cursor, 'COUNT', AT_ONCE)
    for n = 1, #reply[2], 2 do
      if not redis.call('ZSCORE', LEASES, reply[2][n]) then keyed.freed(reply[2][n]) end
    end
    return reply[1]
  end

  -- How many leases each key has, if there are few.
  local function recount()
    if redis.call('HLEN', keyed.key_name('holders')) > MOST_RECOUNTED or redis.call('ZCARD', keyed.key_name('held')) > MOST_RECOUNTED then
      return
    end
    local held = {}
    for _, key in ipairs(redis.call('HVALS', keyed.key_name('holders'))) do held[key] = (held[key] or 0) + 1 end
    for _, key in ipairs(redis.call('ZRANGE', keyed.key_name('held'), 0, -1)) do held[key] = held[key] or 0 end
    for key, count in pairs(held) do keyed.correct_held(key, count) end
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
    local turns, holders = string.match(redis.call('HGET', STATE, 'mended') or '0 0', '^(%d+) (%d+)$')
    local next_turns, next_holders = mend_turns(turns or '0'), mend_holders(holders or '0')
    keyed.flush()
    recount()
    keyed.flush()
    keyed.forget_old_logs(AT_ONCE)
    if next_turns ~= turns or next_holders ~= holders then
      redis.call('HSET', STATE, 'mended', next_turns .. ' ' .. next_holders)
    end
  end

  return true
end)()
