-- flags: no-writes
-- What bears on one task of the queue, to say why it isn't running: kew.domain.situation, function by function. It reads at
-- most `read_limit` records of waiting tasks and as many of leases, and looks at `process_limit` processes.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases parked hungry workers functions lanes
-- ARGV: queue id read_limit:int holder_limit:int process_limit:int candidate_limit:int compare_limit:int recover_limit:int
-- Reply: {now} if the queue has no such task, else {now, record without payload and result, lease_until or 0, {settings,
--   version, edition, paused, breaker (without the probes of ended leases), ticket, token, length of the longest lease, {gate,
--   what it remembers, ...}}, {held, horizon, ahead, 1 if all of these were counted, due, processes, able}, {id, incarnation,
--   started_at, ...} of some running tasks, {incarnation, its leases (-1: too many to count), its slots or false, ...} of
--   processes that can run it, {incarnation, 'held since notified', ...} of the starved ones, {live leases of its key, 1 if
--   tasks with keys wait, {id, incarnation, started_at, ...} of some running tasks of its key, what its rates remember, limits of its own}}
-- include: moves

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
local operation = (function()
  local MOST_READ = 1024 * 1024 -- bytes of records, in each of the two places
  local MOST_SHELVES = 100

  local reads, bytes -- of records, so far

  local function begin_reading()
    reads, bytes = 0, 0
  end

  local function can_read()
    return reads < read_limit and bytes < MOST_READ
  end

  local function read(task_id)
    local raw = redis.call('HGET', TASKS, task_id)
    reads, bytes = reads + 1, bytes + (raw and #raw or 0)
    return raw and parse(task_id, raw)
  end

  -- The leases that end first: {t, ends} each, and whether these are all.
  local function read_leases()
    local held, leased = redis.call('ZRANGE', LEASES, 0, read_limit, 'WITHSCORES'), {}
    begin_reading()
    for n = 1, #held, 2 do
      if not can_read() then return leased, false end
      local t = read(id_of(held[n]))
      if t and t.status == 'p' and member_of(t) == held[n] then
        leased[#leased + 1] = {t = t, ends = tonumber(held[n + 1])}
      end
    end
    return leased, true
  end

  local function holder_of(t)
    return string.match(t.lease, '^[^.]*')
  end

  -- Those whose leases have ended: the next claim takes them back.
  local function ended_of(leased)
    local ended = {}
    for _, each in ipairs(leased) do
      if each.ends <= now and #ended < recover_limit then ended[#ended + 1] = each.t end
    end
    return ended
  end

  -- Some of the others, the longest running first.
  local function holders_of(leased)
    local live, flat = {}, {}
    for _, each in ipairs(leased) do
      if each.ends > now then live[#live + 1] = each.t end
    end
    table.sort(live, function(a, b)
      local first, second = tonumber(a.started_at), tonumber(b.started_at)
      if first ~= second then return first < second end
      return tonumber(a.ticket) < tonumber(b.ticket)
    end)
    for n = 1, math.min(#live, holder_limit) do
      local t = live[n]
      flat[3 * n - 2], flat[3 * n - 1], flat[3 * n] = t.id, holder_of(t), t.started_at
    end
    return flat
  end

  -- The processes that can run a function, by name, of those that announced themselves last.
  local function able_to_run(fn)
    local processes, able = redis.call('ZRANGE', WORKERS, '+inf', '(' .. now, 'BYSCORE', 'REV', 'LIMIT', 0, process_limit), {}
    for _, process in ipairs(processes) do
      if #known_of(process, {reason_of(fn)}) > 0 then able[#able + 1] = process end
    end
    table.sort(able)
    return able
  end

  local function candidates_of(able, leased, is_whole)
    local held, flat = {}, {}
    for _, each in ipairs(leased) do
      local holder = holder_of(each.t)
      held[holder] = (held[holder] or 0) + 1
    end
    for n = 1, math.min(#able, candidate_limit) do
      local process = able[n]
      flat[#flat + 1] = process
      flat[#flat + 1] = is_whole and (held[process] or 0) or -1
      flat[#flat + 1] = redis.call('HGET', LANES .. ':' .. process, 'slots')
    end
    return flat
  end

  -- Whether tasks of a function or shelf take slots that a task of `fn` could have.
  local function competition_of(fn, able)
    local competes = {[reason_of(fn)] = true}
    return function(other)
      other = reason_of(other)
      if competes[other] == nil then
        competes[other] = #able > compare_limit
        for _, process in ipairs(able) do
          competes[other] = competes[other] or #known_of(process, {other}) > 0
          if competes[other] then break end
        end
      end
      return competes[other]
    end
  end

  local function is_before(other, t)
    local first, second = priority_of(other), priority_of(t)
    if first ~= second then return first < second end
    first, second = ready_at(other), ready_at(t)
    if first ~= second then return first < second end
    return tonumber(other.ticket) < tonumber(t.ticket)
  end

  local function shelves_now()
    if s.parked == 0 then return {}, true end
    local names = redis.call('SRANDMEMBER', PARKED, MOST_SHELVES + 1)
    return names, #names <= MOST_SHELVES
  end

  -- Entries of a sorted set that come before the task. Of those that are ready in the same millisecond, the member tells.
  local function count_on_shelf(key, t, priority, horizon)
    if priority < priority_of(t) then return redis.call('ZCOUNT', key, '-inf', horizon) end
    local at, count = ready_at(t), redis.call('ZCOUNT', key, '-inf', '(' .. int(ready_at(t)))
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, at, at, 'LIMIT', 0, read_limit)) do
      if member < member_of(t) then count = count + 1 end
    end
    return count
  end

  -- How many waiting tasks come before this one and compete with it; and whether that is all of them.
  local function count_ahead(t, horizon, competes)
    local ahead, shelves, is_whole = 0, shelves_now()
    begin_reading()
    local function look_at(members, is_waiting)
      for _, member in ipairs(members) do
        if not can_read() then return false end
        local other = read(id_of(member))
        if other and is_waiting(other) and other.queue == queue and member_of(other) == member then
          if ready_at(other) <= horizon and is_before(other, t) then
            ahead = ahead + (competes(function_of(other)) and 1 or 0)
          elseif priority_of(other) == priority_of(t) and ready_at(other) <= horizon then
            return true -- the rest comes later, too
          end
        end
      end
      return #members < read_limit
    end
    for priority = 1, priority_of(t) do
      if s.waiting[priority] > 0 then
        for _, fn in ipairs(shelves) do
          if competes(fn) then ahead = ahead + count_on_shelf(parked_key(priority, fn), t, priority, horizon) end
        end
        local sets = redis.call('ZRANGEBYSCORE', WAITING[priority], '-inf', horizon, 'LIMIT', 0, read_limit)
        is_whole = look_at(sets, is_in_a_set) and is_whole
        local line = redis.call('LRANGE', LINE[priority], 0, read_limit - 1)
        is_whole = look_at(line, function(other) return other.status == 'q' end) and is_whole
      end
    end
    return ahead, is_whole
  end

  -- How many waiting tasks are due by then.
  local function count_due_by(horizon)
    local due, shelves = 0, shelves_now()
    for priority = 1, 3 do
      due = due + redis.call('ZCOUNT', WAITING[priority], '-inf', horizon)
      for _, fn in ipairs(shelves) do due = due + redis.call('ZCOUNT', parked_key(priority, fn), '-inf', horizon) end
      if s.keyed and s.keyed.waiting[priority] > 0 then due = due + keyed.count_due_by(priority, horizon) end
      if s.line_at <= horizon then
        due = due + redis.call('LLEN', LINE[priority])
      else -- the clock stepped back
        begin_reading()
        for _, member in ipairs(redis.call('LRANGE', LINE[priority], 0, read_limit - 1)) do
          local other = can_read() and read(id_of(member))
          if other and other.status == 'q' and ready_at(other) <= horizon then due = due + 1 end
        end
      end
    end
    return due
  end

  -- What is known of the task's key.
  local function of_key(t, leased, ended)
    local takes_turns = s.keyed and keyed.takes_turns() and 1 or 0
    local key = keyed.of(t)
    if not key or not s.keyed then return {0, takes_turns, {}, '', ''} end
    local held, mine = keyed.held_of(key), {}
    for _, lost in ipairs(ended) do
      if keyed.of(lost) == key then held = held - 1 end
    end
    for _, each in ipairs(leased) do
      if keyed.of(each.t) == key then mine[#mine + 1] = each end
    end
    return {held, takes_turns, holders_of(mine), redis.call('HGET', keyed.key_name('logs'), key) or '', (keyed.own(key) or {text = ''}).text}
  end

  local function queue_now()
    return {s.settings, s.version, s.edition, s.paused and 1 or 0, breaker_text(s.breaker), s.ticket, s.token, s.longest, GATES.memories()}
  end

  -- The task without its payload and its result.
  local function light(t)
    if t.status ~= 'c' then return extra.packed_without_payload(t) end
    set_result(t, '')
    return packed(t)
  end

  -- When the rates of its key let a task start.
  local function paced_until(t)
    local key = s.keyed and keyed.of(t)
    if not key then return now end
    keyed.begin()
    return keyed.opening(key, extra.cost_in(t.extras))
  end

  local function of_waiting(t, leased, ended, is_whole)
    extra.next_cost = extra.cost_in(t.extras)
    local horizon = math.max(now, ready_at(t), GATES.latest_opening(), paced_until(t))
    local fn, able = function_of(t), able_to_run(function_of(t))
    local competes = competition_of(fn, able)
    local ahead, is_counted = count_ahead(t, horizon, competes)
    local lost = 0 -- that are due again: the clock may have been set back
    for _, other in ipairs(ended) do
      if ready_at(other) <= horizon then
        lost = lost + 1
        if is_before(other, t) and competes(function_of(other)) then ahead = ahead + 1 end
      end
    end
    local held = redis.call('ZCARD', LEASES) - #ended
    local due = math.min(count_due_by(horizon) + lost - 1, read_limit)
    local processes = redis.call('ZCOUNT', WORKERS, '(' .. now, '+inf')
    is_counted = is_counted and ahead <= read_limit
    return {held, horizon, math.min(ahead, read_limit), is_counted and 1 or 0, due, processes, #able}, holders_of(leased),
      candidates_of(able, leased, is_whole), redis.call('HGETALL', HUNGRY)
  end

  local function operation()
    begin_moves()
    local t = s and fetch({id})[1]
    if not t or is_absent(t) or t.queue ~= queue then return {now} end
    local leased, is_whole = read_leases()
    local over = ended_of(leased)
    judge()
    for _, lost in ipairs(over) do ended('probe', tonumber(lost.epoch)) end
    local lease_until = t.status == 'p' and redis.call('ZSCORE', LEASES, member_of(t)) or 0
    if t.status == 'p' or has_ended(t) then
      return {now, light(t), lease_until, queue_now(), {redis.call('ZCARD', LEASES), now, 0, 1, 0, 0, 0}, {}, {}, {}, {0, 0, {}, '', ''}}
    end
    local numbers, holders, candidates, starved = of_waiting(t, leased, over, is_whole)
    local mine = of_key(t, leased, over)
    return {now, light(t), 0, queue_now(), numbers, holders, candidates, starved, mine}
  end

  return operation
end)()
