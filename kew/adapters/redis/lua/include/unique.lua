-- Uniqueness: kew.domain.unique. The hash `unique` has, by key, the entry of the task that took it last: its ticket and id. The
-- entry means what the record of the task says. ' unique=<cursor>' stands behind the counts of a queue that has such a hash, so
-- that others read no key.
-- include: moves
-- include: expiring
extra.unique = {}

-- Other arguments.
function extra.change_payload(t, payload)
  if t.more and extra.forget_checkpoint(t) then dead.clear_checkpoint(member_of(t)) end -- it was of other arguments
  local call, label_bytes, payload_bytes = string.match(t.tail, '^([^ ]+ [^ ]+ [^ ]+) ([^ ]+) ([^ ]+)$')
  local label, outcome = string.sub(t.body, 1, label_bytes), string.sub(t.body, label_bytes + payload_bytes + 1)
  if #payload > INLINE_BYTES then
    put_content(t.id, payload)
    t.beside, payload = int(#payload), ''
  elseif t.beside then
    remove_content(t.id)
    t.beside = false
  end
  t.payload_bytes = int(#payload)
  t.tail = call .. ' ' .. label_bytes .. ' ' .. t.payload_bytes
  t.body = label .. payload .. outcome
end

do
  local MENDED_AT_ONCE = 100
  local pending = {} -- by id: the entries of tasks whose records this call has not written yet

  -- The unique key in extras: the key, how long it is held, what a submit does that meets the holder, and at_most_ms; nil: none.
  local function unique_key(extras)
    if not extras then return nil end
    local text = string.match(extras, '^unique=([^,]+)')
    if not text and string.find(extras, 'unique=', 1, true) then text = string.match(extras, ',unique=([^,]+)') end
    if not text then return nil end
    local till, conflict, at_most, key = extra.unique_parts(text)
    return key, till, conflict, tonumber(at_most) or 0
  end

  local function extras_of_new(tail)
    return string.match(tail, '^[^\n]* (%S+)\n')
  end

  local function is_waiting(t)
    return t.status == 'q' or t.status == 'w' or t.status == 'r'
  end

  local function holds_until(t, till)
    if is_absent(t) or extra.has_expired(t) then return false end
    if till == 's' then return is_waiting(t) and t.attempt == '0' end
    if till == 'l' then return is_waiting(t) end
    if till == 'f' then return not has_ended(t) end
    return t.status ~= 'f' and t.status ~= 'x' and now - t.queued_at < tonumber(till)
  end

  local function holds(t)
    local key, till = unique_key(t.extras)
    return key and holds_until(t, till) or false
  end

  -- The task that holds a key; nil: none. One that this call stored is known by its id alone, as is one that only a newer version
  -- can read, which is taken for a holder until it ends.
  local function holder(key)
    local entry = redis.call('HGET', dead.key('unique'), key)
    if not entry then return nil end
    local id = id_of(entry)
    if pending[id] == entry then return {id = id, is_pending = true} end
    if changed then flush() end
    local t = fetch({id})[1]
    if t then return t.queue == queue and member_of(t) == entry and holds(t) and t or nil end
    local known = newer and newer[id]
    local is_live = known and known.queue == queue and member_of(known) == entry and string.find('qwrp', known.status, 1, true)
    return is_live and {id = id, is_newer = true} or nil
  end

  local function take(key, entry)
    redis.call('HSET', dead.key('unique'), key, entry)
    if not string.find(s.rest, ' unique=', 1, true) then s.rest, s.is_rest_new = s.rest .. ' unique=0', true end
  end

  -- A task is stored whose record's line ends with these extras.
  function extra.unique.note(entry, extras)
    local key = unique_key(extras)
    if not key then return end
    take(key, entry)
    pending[id_of(entry)] = entry
  end

  -- What this or an earlier call stored is written.
  function extra.unique.begin()
    if next(pending) then pending = {} end
  end

  -- Whether one of a group's tasks has a unique key.
  function extra.unique.is_used(at, size)
    for n = at, at + 3 * size - 1, 3 do
      if string.byte(ARGV[n + 1]) == 120 and unique_key(extras_of_new(ARGV[n + 2])) then return true end
    end
    return false
  end

  local function payload_of(tail)
    local label_bytes, ends = string.match(tail, '^[^ ]+ [^ ]+ [^ ]+ (%d+) [^\n]*()\n')
    return string.sub(tail, ends + 1 + label_bytes)
  end

  -- The end of a new record with the payload of another.
  local function with_payload(tail, other)
    local call, label_bytes, rest, ends = string.match(tail, '^([^ ]+ [^ ]+ [^ ]+) (%d+) %d+([^\n]*)()\n')
    local payload = payload_of(other)
    return call .. ' ' .. label_bytes .. ' ' .. int(#payload) .. rest .. string.sub(tail, ends, ends + label_bytes) .. payload
  end

  -- Compare the tasks of a group with the holders of their keys, and with each other. `is_in` says whether one was stored by an
  -- earlier sending. Those that are to be stored come first in ARGV then. The answer: how many these are, what the others met
  -- ({id, id of the task that it met, ...}), and what is to be replaced; or nil and the id of a task in the way.
  function extra.unique.meeting(at, size, is_in)
    local new, met, replaced, mine = 0, nil, nil, {}
    for n = at, at + 3 * size - 1, 3 do
      local id = ARGV[n]
      if not is_in(id) then
        local key, _, conflict = unique_key(string.byte(ARGV[n + 1]) == 120 and extras_of_new(ARGV[n + 2]) or nil)
        local twin = key and mine[key]
        local found = twin or key and holder(key)
        if not found then
          local to = at + 3 * new
          ARGV[to], ARGV[to + 1], ARGV[to + 2], new = id, ARGV[n + 1], ARGV[n + 2], new + 1
          if key then mine[key] = {id = id, at = to} end
        else
          if conflict == 'p' and twin then
            ARGV[twin.at + 2] = with_payload(ARGV[twin.at + 2], ARGV[n + 2])
          elseif conflict == 'p' and (found.is_pending or not found.is_newer and is_waiting(found)) then
            replaced = replaced or {}
            replaced[#replaced + 1] = {id = found.id, due = ARGV[n + 1], tail = ARGV[n + 2]}
          elseif conflict ~= 'j' then
            return nil, found.id
          end
          met = add_pair(met, id, found.id)
        end
      end
    end
    return new, met, replaced
  end

  -- A waiting task gets the arguments of a later one.
  local function replace(t, later)
    extra.change_payload(t, payload_of(later.tail))
    put(t)
    local _, _, _, at_most = unique_key(extras_of_new(later.tail))
    if at_most == 0 then return end
    local delay = tonumber(string.match(later.due, '%+(%d+)')) or 0
    local at = math.min(now + delay, t.queued_at + at_most)
    if at == ready_at(t) then return end
    extra.move_to(t, at)
  end

  -- What a group replaces. `write` writes what this call has stored so far.
  function extra.unique.replace(replaced, write)
    for _, later in ipairs(replaced) do
      if next(pending) then write() end
      if changed then flush() end
      local t = fetch({later.id})[1]
      if t and is_waiting(t) then replace(t, later) end
    end
  end

  -- A task that is to be replayed takes its key again, if it will hold it; false: another task holds it.
  function extra.unique.retake(t)
    local after = {extras = t.extras, attempt = t.attempt, queued_at = t.queued_at, status = 'w', expires_at = '0'}
    if not holds(after) then return true end
    local key = unique_key(t.extras)
    extra.unique.begin()
    local found = holder(key)
    if found and found.id ~= t.id then return false end
    take(key, member_of(t))
    return true
  end

  -- Whether a later call of a `Latest` waits where this task would wait again: kew.domain.unique.is_superseded. If not, it takes its key.
  function extra.unique.is_superseded(t)
    local key, till = unique_key(t.extras)
    if till ~= 'l' or t.cancel == '1' then return false end
    extra.unique.begin()
    local found = holder(key)
    if found and found.id ~= t.id then
      t.cancel = '1' -- it ends as if
      return true
    end
    take(key, member_of(t))
    return false
  end

  function extra.unique.end_superseded(t)
    t.cancel = '0'
    set_outcome(t, 'superseded: a later call of its Latest waits, with newer arguments')
  end

  -- A task has ended: its key is free, unless a time is still to pass.
  function extra.unique.let_go(t)
    local key, till = unique_key(t.extras)
    if not key or holds_until(t, till) then return end
    local is_its_own = till == 'f' and not string.find(t.extras, 'start_by=', 1, true) -- no other may have taken it
    if is_its_own or redis.call('HGET', dead.key('unique'), key) == member_of(t) then
      extra.freed = extra.freed or {}
      extra.freed[#extra.freed + 1] = key
    end
  end

  -- Forget some of the keys that no task holds.
  function extra.unique.mend()
    local cursor = s.rest ~= '' and string.match(s.rest, ' unique=(%d+)')
    if not cursor then return end
    local name, free = dead.key('unique'), {}
    extra.unique.begin()
    local reply = redis.call('HSCAN', name, cursor, 'COUNT', MENDED_AT_ONCE)
    for n = 1, #reply[2], 2 do
      if not holder(reply[2][n]) then free[#free + 1] = reply[2][n] end
    end
    send('HDEL', name, free)
    s.rest = string.gsub(s.rest, ' unique=%d+', '')
    if redis.call('EXISTS', name) == 1 then s.rest = s.rest .. ' unique=' .. reply[1] end
    s.is_rest_new = true
  end
end
