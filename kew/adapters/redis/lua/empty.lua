-- flags: allow-oom
-- Cancel the waiting tasks with tickets up to `upto`, a bounded number of them: kew.domain.emptying. It looks at no more than
-- `look_limit` entries. First it empties the lines and the sorted sets (`scan` is -1), then the lines of keys, as a scan finds
-- them: `scan` is how far that has come. It passes over the first `skip` entries of the sorted sets, or of the keys that the
-- scan finds next, which earlier calls have looked at.
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked unreadable
-- ARGV: channel queue upto:int skip:int scan look_limit:int
-- Reply: {now} if there is no such queue, else {now, {id, record without payload, ...} of those it cancelled, how many it passed
--   over, 1 if there is more to look at, and the `skip` and `scan` of the next call}
-- include: moves

local operation = (function()
  local KEYS_AT_ONCE = 100
  local left, cancelled, kept, passed -- passed: since the scan came to where it is

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
    cancelled[#cancelled + 1] = t
  end

  local function cancel_in_line(entry, priority)
    local t = entry.t
    if t and t.newer_raw then
      park(priority, function_of(t), int(ready_at(t)), entry.member)
      extra.leave_line(t)
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

  -- `key`: if the set is the line of one.
  local function cancel_in_set(entry, name, priority, is_parked, key)
    local t = entry.t
    if t and (t.newer_raw or is_later(entry.member)) then
      kept, passed = kept + 1, passed + 1
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

  local function empty_set(name, priority, is_parked)
    local size = redis.call('ZCARD', name)
    if skip >= size then
      skip = skip - size
      return
    end
    local members = redis.call('ZRANGE', name, skip, skip + left - 1)
    skip = 0
    local entries, is_cut_short = read_entries(members)
    for _, entry in ipairs(entries) do cancel_in_set(entry, name, priority, is_parked) end
    flush()
    left = is_cut_short and 0 or left - #entries
  end

  -- The next entries of these lines, of as many as may be looked at; and whether these are all.
  local function next_in_lines(names)
    local members, lines = {}, {}
    for _, name in ipairs(names) do
      if #members >= left then return members, lines, false end
      local priority, key = string.match(name, '^(%d) (.*)$')
      local line = {name = keyed.line_name(priority, key), priority = tonumber(priority), key = key}
      local size = skip > 0 and redis.call('ZCARD', line.name) or 1
      if skip >= size then
        skip = skip - size
      else
        for _, member in ipairs(redis.call('ZRANGE', line.name, skip, skip + left - #members - 1)) do
          members[#members + 1] = member
          lines[#members] = line
        end
        skip = 0
      end
    end
    return members, lines, #members < left
  end

  -- Whether that was all of them.
  local function empty_lines(names)
    local members, lines, is_all = next_in_lines(names)
    local entries, is_cut_short = read_entries(members)
    for n, entry in ipairs(entries) do
      local line = lines[n]
      cancel_in_set(entry, line.name, line.priority, false, line.key)
    end
    flush()
    left = left - #entries
    return is_all and not is_cut_short
  end

  local function empty_keyed()
    local scanned = 0
    keyed.begin()
    repeat
      local reply, names = redis.call('HSCAN', keyed.key_name('turns'), scan, 'COUNT', KEYS_AT_ONCE), {}
      for n = 1, #reply[2], 2 do names[#names + 1] = reply[2][n] end
      table.sort(names)
      if not empty_lines(names) then
        left = 0
        return
      end
      scan, skip, passed, scanned = reply[1], 0, 0, scanned + #names
    until scan == '0' or left <= 0 or scanned >= look_limit
    if scan ~= '0' then left = 0 end
  end

  local function empty_others()
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
  end

  local function operation()
    begin_moves()
    if not s then return {now} end
    local skipped, began_at, records = skip, scan, {}
    left, cancelled, kept, passed = look_limit, {}, 0, 0
    if scan == '-1' then empty_others() end
    if s.keyed and left > 0 then
      if scan == '-1' then scan, skip, passed = '0', 0, 0 end
      empty_keyed()
    end
    write_state()
    for _, t in ipairs(cancelled) do records[#records + 1], records[#records + 2] = t.id, extra.packed_without_payload(t) end
    if scan == began_at then passed = passed + skipped end
    return {now, records, kept, left <= 0 and 1 or 0, passed, scan}
  end

  return operation
end)()
