-- flags: no-writes
-- A page of waiting tasks: kew.domain.listing. `states`: letters of those that are meant (r ready, d deferred, s stuck);
-- `of_function`, `of_key`: only those of one, as records have it; '': of any. It looks at `read_limit` entries at most, after a
-- place: priority, part (0 line, 1 sorted set, 2 shelf, 3 key), how far keys were scanned, name of the shelf or key, and due
-- time, ticket (0: at the beginning) and id of an entry. Before the place: from which instant on they were submitted and before
-- which one, and of which type, as records have it ('': of any). Payloads are left out.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 parked workers functions
-- ARGV: queue states of_function of_key read_limit:int limit:int place*
-- Reply: {now} if the queue doesn't exist, else {now, the place where the next page begins or false, {id, record, ...}}
-- include: moves
-- include: place

local operation = (function()
  local IN_LINE, IN_SET, ON_SHELF, OF_KEY = 0, 1, 2, 3
  local KEYS_AT_ONCE = 100
  local found, looked, bytes, place, processes, stuck, since, before, of_type

  local function is_stuck(reason)
    if is_of_a_version(reason) then return false end
    if stuck[reason] == nil then
      processes = processes or redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf')
      stuck[reason] = true
      for _, process in ipairs(processes) do
        if reason == '@' .. process or redis.call('SISMEMBER', FUNCTIONS .. ':' .. process, reason) == 1 then
          stuck[reason] = false
          break
        end
      end
    end
    return stuck[reason]
  end

  local function wants(letter)
    return string.find(states, letter, 1, true) ~= nil
  end

  local function can_look()
    return looked < read_limit and #found < 2 * limit and bytes < MOST_BYTES
  end

  local function fits(t, letter)
    letter = letter or (ready_at(t) <= now and 'r' or 'd')
    return wants(letter) and (of_function == '' or function_of(t) == of_function)
      and (of_key == '' or keyed.of(t) == of_key)
      and (of_type == '' or string.sub(t.body, 2, 1 + #of_type) == of_type) -- a label begins with it, after one byte
      and tonumber(t.queued_at) >= since and tonumber(t.queued_at) < before
  end

  -- The tasks of these members, as far as one call may; false: there is more.
  local function look_at(members, scores, is_current, letter)
    for first = 1, #members, READ_AT_ONCE do
      if not can_look() then return false end
      local ids = {}
      for n = first, math.min(first + READ_AT_ONCE - 1, #members) do ids[#ids + 1] = id_of(members[n]) end
      for n, t in ipairs(fetch(ids)) do
        if not can_look() then return false end
        local member = members[first + n - 1]
        looked, place.at, place.member = looked + 1, scores[first + n - 1] or 0, member
        if t and is_current(t) and t.queue == queue and member_of(t) == member then
          bytes = bytes + #t.body
          if fits(t, letter) then found[#found + 1], found[#found + 2] = t.id, extra.packed_without_payload(t) end
        end
      end
    end
    return true
  end

  -- A line is in the order of tickets: how many entries come up to this one.
  local function count_in_line(priority, ticket)
    local low, high = 0, redis.call('LLEN', LINE[priority])
    while low < high do
      local middle = math.floor((low + high) / 2)
      local member = redis.call('LRANGE', LINE[priority], middle, middle)[1]
      if tonumber(string.sub(member, 1, TICKET_DIGITS)) <= ticket then low = middle + 1 else high = middle end
    end
    return low
  end

  local function look_in_line(priority, from)
    if of_key ~= '' or not wants('r') and s.line_at <= now then return true end
    local start = from and from.ticket > 0 and count_in_line(priority, from.ticket) or 0
    local members = redis.call('LRANGE', LINE[priority], start, start + read_limit - 1)
    return look_at(members, {}, function(t) return t.status == 'q' end) and #members < read_limit
  end

  local function look_in_set(key, from, letter)
    local start = 0
    if from and from.ticket > 0 then
      local entry = member(int(from.ticket), from.id)
      start = positions.count_before(key, int(from.at), entry)
      if redis.call('ZRANGE', key, start, start)[1] == entry then start = start + 1 end
    end
    if not letter and not wants('r') then start = math.max(start, redis.call('ZCOUNT', key, '-inf', NOW)) end
    local flat, members, scores = redis.call('ZRANGE', key, start, start + read_limit - 1, 'WITHSCORES'), {}, {}
    for n = 1, #flat, 2 do
      if not letter and not wants('d') and tonumber(flat[n + 1]) > now then break end
      members[#members + 1], scores[#scores + 1] = flat[n], flat[n + 1]
    end
    return look_at(members, scores, is_in_a_set, letter) and #members < read_limit
  end

  local function look_on_shelves(priority, from)
    local reasons = s.parked > 0 and redis.call('SMEMBERS', PARKED) or {}
    if of_function ~= '' then reasons = {reason_of(of_function)} end
    table.sort(reasons, positions.precedes)
    for _, reason in ipairs(reasons) do
      local letter = is_stuck(reason) and 's' or nil
      local is_meant = letter and wants('s') or not letter and (wants('r') or wants('d'))
      if is_meant and not (from and positions.precedes(reason, from.name)) then
        place = {priority = priority, part = ON_SHELF, scan = '0', name = reason}
        if not look_in_set(parked_key(priority, reason), from and reason == from.name and from, letter) then return false end
      end
    end
    return true
  end

  local function look_in_key(priority, scan, key, from)
    place, looked = {priority = priority, part = OF_KEY, scan = scan, name = key}, looked + 1
    return look_in_set(keyed.line_name(priority, key), from and key == from.name and from)
  end

  -- The keys of a priority that one step of a scan finds, in order, and how far it has scanned then.
  local function scan_keys(priority, scan)
    local reply, keys = redis.call('HSCAN', keyed.key_name('turns'), scan, 'COUNT', KEYS_AT_ONCE), {}
    for n = 1, #reply[2], 2 do
      if string.byte(reply[2][n]) == 48 + priority then keys[#keys + 1] = string.sub(reply[2][n], 3) end
    end
    table.sort(keys, positions.precedes)
    return keys, reply[1], #reply[2] / 2
  end

  local function look_in_keys(priority, from)
    if not s.keyed or s.keyed.waiting[priority] <= 0 or not (wants('r') or wants('d')) then return true end
    keyed.begin()
    if of_key ~= '' then return look_in_key(priority, '0', of_key, from) end
    local scan, scanned = from and from.scan or '0', 0
    repeat
      local keys, next_scan, count_seen = scan_keys(priority, scan)
      for _, key in ipairs(keys) do
        if not (from and positions.precedes(key, from.name)) and not look_in_key(priority, scan, key, from) then return false end
      end
      from, scan, scanned = nil, next_scan, scanned + count_seen
      if scan ~= '0' and (scanned >= read_limit or not can_look()) then
        place = {priority = priority, part = OF_KEY, scan = scan, name = ''}
        return false
      end
    until scan == '0'
    return true
  end

  local PARTS = {
    [IN_LINE] = look_in_line,
    [IN_SET] = function(priority, from)
      if of_key ~= '' or not (wants('r') or wants('d')) then return true end
      return look_in_set(WAITING[priority], from)
    end,
    [ON_SHELF] = look_on_shelves,
    [OF_KEY] = look_in_keys,
  }

  -- Whether there is no more.
  local function look(from)
    for priority = from.priority, 3 do
      for part = priority == from.priority and from.part or IN_LINE, OF_KEY do
        place = {priority = priority, part = part, scan = '0', name = ''}
        if not can_look() then return false end
        if not PARTS[part](priority, priority == from.priority and part == from.part and from or nil) then return false end
      end
    end
    return true
  end

  local function operation()
    begin_moves()
    if not s then return {now} end
    local given = {}
    for n = place_from, #ARGV do given[#given + 1] = ARGV[n] end
    found, looked, bytes, processes, stuck = {}, 0, 0, nil, {}
    since, before, of_type = tonumber(table.remove(given, 1)), tonumber(table.remove(given, 1)), table.remove(given, 1)
    local is_all = look({priority = tonumber(given[1]), part = tonumber(given[2]), scan = given[3], name = given[4],
      at = tonumber(given[5]), ticket = tonumber(given[6]), id = given[7]})
    if is_all then return {now, false, found} end
    local ticket = place.member and int(tonumber(string.sub(place.member, 1, TICKET_DIGITS))) or '0'
    local id = place.member and id_of(place.member) or ''
    return {now, {int(place.priority), int(place.part), place.scan, place.name, tostring(place.at or 0), ticket, id}, found}
  end

  return operation
end)()
