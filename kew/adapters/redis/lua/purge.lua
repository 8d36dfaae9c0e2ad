-- flags: allow-oom
-- Remove the queue whose settings have this edition, and nothing else, a bounded number of tasks per call. The first call
-- leaves a mark in place of the queue: no task is added or granted and no process declares the queue again until the last
-- call has removed the mark. Any call may go on from a mark. Without an edition, it also removes what is left without a
-- queue.
-- KEYS: queues tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle hungry workers functions lanes unreadable processes schedules
-- ARGV: queue edition limit:int
-- Reply: more (call again), done, or other (the queue has another edition: nothing was removed)
-- include: batch

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
local operation = (function()
  local function key_of(part)
    return string.sub(STATE, 1, -6) .. part
  end

  local function forget_queue()
    redis.call('UNLINK', STATE, IDLE, HUNGRY, key_of('history'), key_of('unique'))
    redis.call('HSET', STATE, 'is_purged', 1)
    for _, process in ipairs(redis.call('ZRANGE', WORKERS, 0, -1)) do
      redis.call('DEL', LANES .. ':' .. process, FUNCTIONS .. ':' .. process)
      redis.call('HDEL', PROCESSES, process) -- one that lives reports itself again
    end
    redis.call('DEL', WORKERS)
  end

  -- The attempts and checkpoints of tasks, by their entries in an index.
  local function remove_attempts(entries)
    local keys = {}
    for n, entry in ipairs(entries) do keys[2 * n - 1], keys[2 * n] = key_of('attempts:') .. entry, key_of('checkpoint:') .. entry end
    if #keys > 0 then redis.call('DEL', unpack(keys)) end
  end

  -- Only records that say they are this queue's: an id of the index of ends may have been used again elsewhere.
  local function remove(pop, key, skip)
    local popped, entries, ids, gone = redis.call(pop, key, limit) or {}, {}, {}, {}
    for n = 1, #popped, pop == 'LPOP' and 1 or 2 do entries[#entries + 1] = popped[n] end
    for n, entry in ipairs(entries) do ids[n] = string.sub(entry, skip + 1) end
    local raws = #ids > 0 and redis.call('HMGET', TASKS, unpack(ids)) or {}
    for n, raw in ipairs(raws) do
      if raw and string.match(raw, '^%d*%a (%S+)') == queue then gone[#gone + 1] = ids[n] end
    end
    send('HDEL', TASKS, gone)
    send('HDEL', CONTENTS, gone)
    if pop == 'ZPOPMIN' and skip > 0 then remove_attempts(entries) end -- what is in a line has not failed
    limit = limit - #ids
  end

  -- The indexes of dead letters; `remove` has their records.
  local function remove_groups()
    for _, group in ipairs(redis.call('ZRANGE', key_of('groups'), 0, 99)) do
      local key = key_of('dead:') .. group
      if limit > 0 then limit = limit - #redis.call('ZPOPMIN', key, limit) / 2 end
      if limit > 0 then redis.call('ZREM', key_of('groups'), group) end
    end
  end

  -- Their records can't say whose they are: the index does.
  local function remove_unreadable()
    local popped, ids = redis.call('ZPOPMIN', UNREADABLE, limit), {}
    for n = 1, #popped, 2 do ids[#ids + 1] = popped[n] end
    local entries = {}
    for n, raw in ipairs(#ids > 0 and redis.call('HMGET', TASKS, unpack(ids)) or {}) do
      local ticket = raw and string.match(raw, '^%d*%a %S+ (%d+) ')
      if ticket and #ticket <= 12 then entries[#entries + 1] = string.format('%012d', ticket) .. ids[n] end
    end
    remove_attempts(entries)
    send('HDEL', TASKS, ids)
    send('HDEL', CONTENTS, ids)
    limit = limit - #ids
  end

  -- The lines of keys (include/keyed.lua), and what else is known of keys.
  local function remove_keyed()
    local base = string.sub(PARKED, 1, -7) .. 'keyed:'
    local names = redis.call('HRANDFIELD', base .. 'turns', 100) or {}
    for _, name in ipairs(names) do
      local priority, key = string.match(name, '^(%d) (.*)$')
      if limit > 0 then remove('ZPOPMIN', base .. 'line' .. priority .. ':' .. key, 12) end
      if limit > 0 then redis.call('HDEL', base .. 'turns', name) end
    end
    if redis.call('EXISTS', base .. 'turns') == 1 then
      limit = 0
      return
    end
    for _, part in ipairs({'held', 'holders', 'ring1', 'ring2', 'ring3', 'later1', 'later2', 'later3', 'paced1', 'paced2',
      'paced3', 'first', 'logs', 'logged', 'limits', 'ends'}) do
      redis.call('UNLINK', base .. part)
    end
  end

  -- The queue's schedules (include/ticks.lua).
  local function remove_schedules()
    local flat = redis.call('HGETALL', SCHEDULES)
    for n = 1, #flat, 2 do
      if string.match(flat[n + 1], '^%d+ %S+ %S+ %d+ %S+ (%S+) ') == queue then redis.call('HDEL', SCHEDULES, flat[n]) end
    end
  end

  local function operation()
    local counts = redis.call('HGET', STATE, 'counts')
    if counts then
      if string.match(counts, '^%d+:(%S*)') ~= edition then return 'other' end
      forget_queue()
    elseif redis.call('HEXISTS', STATE, 'is_purged') == 0 then
      if edition ~= '' then return 'done' end -- another call has finished it
      forget_queue()
    end
    for _, key in ipairs({LINE1, LINE2, LINE3}) do
      if limit > 0 then remove('LPOP', key, 12) end
    end
    for _, key in ipairs({WAITING1, WAITING2, WAITING3, LEASES, key_of('dead'), key_of('expiring')}) do
      if limit > 0 then remove('ZPOPMIN', key, 12) end
    end
    remove_keyed()
    for _, fn in ipairs(redis.call('SRANDMEMBER', PARKED, 100)) do
      for priority = 1, 3 do
        if limit > 0 then remove('ZPOPMIN', PARKED .. ':' .. priority .. ':' .. fn, 12) end
      end
      if limit > 0 then redis.call('SREM', PARKED, fn) end
    end
    if limit > 0 then remove('ZPOPMIN', ENDED, 0) end
    if limit > 0 then remove_groups() end
    if limit > 0 then remove_unreadable() end
    if limit == 0 or redis.call('EXISTS', key_of('groups')) == 1 or redis.call('EXISTS', PARKED) == 1 then return 'more' end
    remove_schedules()
    redis.call('DEL', STATE)
    redis.call('SREM', QUEUES, queue)
    if redis.call('EXISTS', TASKS) == 0 then redis.call('DEL', CONTENTS) end -- what records left that were lost
    return 'done'
  end

  return operation
end)()
