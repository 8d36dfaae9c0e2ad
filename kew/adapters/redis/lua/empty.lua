-- flags: allow-oom
-- Cancel the waiting tasks with tickets up to `upto`, a bounded number of them: kew.domain.emptying. It looks
-- at no more than `look_limit` entries, after the first `skip` of the sorted sets, which earlier calls have passed over.
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked unreadable
-- ARGV: channel queue upto:int skip:int look_limit:int
-- Reply: {now} if there is no such queue, else {now, cancelled, kept, 1 if there is more to look at}
-- include: moves

local operation = (function()
  local left, cancelled, passed

  -- The tasks of these entries, as many as one call may read; what can't be read is passed over.
  local function read_entries(members)
    local entries, bytes = {}, 0
    for first = 1, #members, READ_AT_ONCE do
      if bytes >= MOST_BYTES then break end
      local ids = {}
      for n = first, math.min(first + READ_AT_ONCE - 1, #members) do ids[#ids + 1] = id_of(members[n]) end
      for n, t in ipairs(fetch_waiting(ids)) do
        if t then bytes = bytes + #(t.newer_raw or t.body) end
        entries[#entries + 1] = {member = members[first + n - 1], t = t, id = ids[n]}
      end
    end
    return entries, #entries < #members
  end

  local function is_later(member)
    return tonumber(string.sub(member, 1, 12)) > upto
  end

  local function cancel(t)
    finish(t, 'x')
    cancelled = cancelled + 1
  end

  local function cancel_in_line(entry, priority)
    local t = entry.t
    if t and t.newer_raw then
      park(priority, function_of(t), int(ready_at(t)), entry.member)
      leave_line(t)
    elseif t and t.status == 'q' and t.queue == queue and member_of(t) == entry.member then
      count(priority, -1)
      cancel(t)
    elseif not t and unreadable and unreadable[entry.id] == 'q ' and s.waiting[priority] > 0 then
      count(priority, -1)
    end
  end

  -- A line is in the order of tickets. What was looked at leaves it, but for what came later.
  local function empty_line(priority)
    local entries, is_cut_short = read_entries(redis.call('LRANGE', LINE[priority], 0, left - 1))
    local gone = 0
    for _, entry in ipairs(entries) do
      if is_later(entry.member) then break end
      cancel_in_line(entry, priority)
      gone = gone + 1
    end
    flush()
    if gone > 0 then redis.call('LTRIM', LINE[priority], gone, -1) end
    left = is_cut_short and gone == #entries and 0 or left - gone
  end

  local function cancel_in_set(entry, name, priority, is_parked, key)
    local t = entry.t
    if t and (t.newer_raw or is_later(entry.member)) then
      passed = passed + 1
    elseif t and is_in_a_set(t) then
      dequeue(t)
      cancel(t)
    else
      unindex(name, entry.member)
      if not t and key then
        keyed.count_in_line(priority, -1)
        keyed.leave(priority, key, false)
        return
      end
      if not t then count(priority, -1) end
      if not t and is_parked then s.parked = s.parked - 1 end
    end
  end

  -- `key`: if it is the line of one.
  local function empty_set(name, priority, is_parked, key)
    local size = redis.call('ZCARD', name)
    if skip >= size then
      skip = skip - size
      return
    end
    local members = redis.call('ZRANGE', name, skip, skip + left - 1)
    skip = 0
    local entries, is_cut_short = read_entries(members)
    for _, entry in ipairs(entries) do cancel_in_set(entry, name, priority, is_parked, key) end
    flush()
    left = is_cut_short and 0 or left - #entries
  end

  local function empty_keyed()
    local places = keyed.places()
    table.sort(places)
    for _, place in ipairs(places) do
      if left <= 0 then return end
      local priority, key = string.match(place, '^(%d) (.*)$')
      empty_set(keyed.line_name(priority, key), tonumber(priority), false, key)
    end
  end

  local function operation()
    begin_moves()
    if not s then return {now} end
    left, cancelled, passed = look_limit, 0, 0
    for priority = 1, 3 do
      if left > 0 and s.waiting[priority] > 0 then empty_line(priority) end
    end
    local reasons = s.parked > 0 and redis.call('SMEMBERS', PARKED) or {}
    table.sort(reasons)
    for priority = 1, 3 do
      if left > 0 then empty_set(WAITING[priority], priority, false) end
      for _, reason in ipairs(reasons) do
        if left > 0 then empty_set(parked_key(priority, reason), priority, true) end
      end
    end
    for _, reason in ipairs(reasons) do forget_if_empty(reason) end
    if s.keyed and left > 0 then empty_keyed() end
    write_state()
    return {now, cancelled, passed, left <= 0 and 1 or 0}
  end

  return operation
end)()
