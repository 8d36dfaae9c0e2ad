-- flags: allow-oom
-- Bounded maintenance: recover ended leases, remove expired records, fail pinned tasks of processes that have gone, and
-- forget those processes an hour later. Processes have gone whose presence had ended by `gone_by` (-1, or
-- an instant that lies ahead: none is judged).
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle hungry workers functions lanes unreadable processes
-- ARGV: channel queue limit:int presence_ms:int gone_by:int kept_ms:int orphaned
-- Reply: {recovered, removed, {id of an expired task, ...}, {id of an orphaned task, ...}, departed, {incarnation, recovered of its tasks, ...}, 1 if a limit was reached, now}
-- include: upkeep
-- include: expiring
-- include: waking
-- include: keyed_mending
-- include: unique

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
local operation = (function()
  local MANY_SHELVES = 100

  -- The index of ends is a hint: only what the record itself says is removed.
  -- Large records are not all read in one call, since Redis does nothing else meanwhile.
  local function remove_expired()
    local ids = redis.call('ZRANGEBYSCORE', ENDED, '-inf', now, 'LIMIT', 0, limit)
    local gone, seen, bytes = {}, {}, 0
    for first = 1, #ids, READ_AT_ONCE do
      if bytes >= MOST_BYTES then break end
      local piece = {unpack(ids, first, math.min(first + READ_AT_ONCE - 1, #ids))}
      for n, t in ipairs(fetch(piece)) do
        seen[#seen + 1] = piece[n]
        if t then bytes = bytes + #t.body end
        if t and t.queue == queue and is_absent(t) then
          gone[#gone + 1] = piece[n]
          if t.beside then remove_content(t.id) end
          if t.status == 'f' then
            dead.unbury(t)
            dead.clear(member_of(t))
          end
        elseif t and t.queue == queue and has_ended(t) then
          index(ENDED, t.expires_at, t.id)
        elseif newer and newer[piece[n]] then
          index(ENDED, int(now + kept_ms), piece[n]) -- only a process that knows its version knows when it expires
        end
      end
    end
    send('HDEL', TASKS, gone)
    send('ZREM', ENDED, seen)
    return #gone, #ids == limit or #seen < #ids
  end

  -- Leases that would last longer than any that was granted: kew.domain.maintenance.shortened.
  local function shorten_leases()
    local latest, ends = now + s.longest, {}
    for n, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '(' .. latest, '+inf', 'LIMIT', 0, limit)) do
      ends[2 * n - 1], ends[2 * n] = latest, member
    end
    send('ZADD', LEASES, ends)
    if #ends > 0 then wake(latest) end
  end

  -- The same for presences: after a step back of the clock, none lasts longer than one that begins now.
  local function shorten_presences()
    local latest, ends = now + presence_ms, {}
    for n, process in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '(' .. latest, '+inf', 'LIMIT', 0, limit)) do
      ends[2 * n - 1], ends[2 * n] = latest, process
    end
    send('ZADD', WORKERS, ends)
  end

  local function is_gone(process)
    local present_until = redis.call('ZSCORE', WORKERS, process)
    return not present_until or tonumber(present_until) <= gone_by
  end

  -- Fail the first tasks of a shelf; their ids are added to `orphans`. How many entries that were.
  local function orphan(priority, fn, room, orphans)
    local members, ids = redis.call('ZRANGE', parked_key(priority, fn), 0, room - 1), {}
    for n, member in ipairs(members) do ids[n] = id_of(member) end
    for n, t in ipairs(fetch(ids)) do
      unindex(parked_key(priority, fn), members[n])
      if t and is_in_a_set(t) then
        dead.note(t, 'orphaned', 'orphaned', '', '')
        set_outcome(t, orphaned)
        finish(t, 'f')
        orphans[#orphans + 1] = t.id
      elseif newer and newer[ids[n]] then
        extra.park_newer(newer[ids[n]])
      end
    end
    s.parked = s.parked - #members
    count(priority, -#members)
    return #members
  end

  local function fail_orphans()
    local failed, orphans = 0, {}
    local names = s.parked > 0 and redis.call('SMEMBERS', PARKED) or {}
    table.sort(names)
    for _, fn in ipairs(names) do
      if is_pinned(fn) and is_gone(string.sub(fn, 2)) then
        for priority = 1, 3 do
          if failed < limit then failed = failed + orphan(priority, fn, limit - failed, orphans) end
        end
        flush()
        forget_if_empty(fn)
      end
    end
    return failed, orphans
  end

  local function sizes_of_shelves(names)
    local sizes, all = {0, 0, 0}, 0
    for _, fn in ipairs(names) do
      for priority = 1, 3 do
        local size = redis.call('ZCARD', parked_key(priority, fn))
        sizes[priority], all = sizes[priority] + size, all + size
      end
    end
    return sizes, all
  end

  -- An operation that Redis aborted (a missing right, a foreign key) may have left wrong counts. As many tasks wait as the
  -- sets contain, and at most those of the line as well.
  local function correct_counts()
    if s.waiting[1] == 0 and s.waiting[2] == 0 and s.waiting[3] == 0 and s.parked == 0 then return end
    local names = redis.call('SMEMBERS', PARKED)
    if #names > MANY_SHELVES then return end
    local on_shelves, all = sizes_of_shelves(names)
    for priority = 1, 3 do
      local least = redis.call('ZCARD', WAITING[priority]) + on_shelves[priority]
      local most = least + redis.call('LLEN', LINE[priority])
      s.waiting[priority] = math.max(least, math.min(most, s.waiting[priority]))
    end
    s.parked = all
  end

  -- A process whose presence has ended is not idle any more; its lanes and functions are kept for a while longer.
  local function forget_departed()
    local found, ended, departed = redis.call('ZRANGEBYSCORE', WORKERS, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit), {}, {}
    for n = 1, #found, 2 do
      ended[#ended + 1] = found[n]
      if tonumber(found[n + 1]) <= gone_by - kept_ms then departed[#departed + 1] = found[n] end
    end
    for _, process in ipairs(departed) do
      redis.call('DEL', LANES .. ':' .. process, FUNCTIONS .. ':' .. process)
    end
    send('ZREM', WORKERS, departed)
    send('HDEL', HUNGRY, departed)
    send('HDEL', PROCESSES, departed)
    send('ZREM', IDLE, ended)
    return #departed
  end

  local function operation()
    begin_moves()
    if not s then return {0, 0, {}, {}, 0, {}, 0, now} end
    local surplus = dead.remove_surplus(limit) -- first: what fails in this call is reported before it may go
    local recovered, lost = 0, nil
    if s.wake_at <= now then recovered, lost = recover(limit) end -- no lease ends before `wake_at`
    local expired = extra.expire(limit) or {}
    local removed, removed_limit = remove_expired()
    flush()
    dead.remove_stale(limit)
    flush()
    local is_adopting = dead.adopt(limit)
    if s.wake_at < NEVER then shorten_leases() end -- else there is none
    shorten_presences()
    if gone_by > now then gone_by = -1 end -- the clock stepped back since
    local failed, orphans = 0, {}
    if gone_by >= 0 then failed, orphans = fail_orphans() end
    correct_counts()
    keyed.mend()
    extra.unique.mend()
    local departed = forget_departed()
    if recovered > 0 then
      wake(now)
      offer_waiting(recovered, '')
    end
    write_state()
    history.trim(now)
    local more = recovered == limit or removed_limit or is_adopting or surplus == limit or #expired == limit or failed == limit or departed == limit
    return {recovered, removed + surplus, expired, orphans, departed, lost or {}, more and 1 or 0, now}
  end

  return operation
end)()
