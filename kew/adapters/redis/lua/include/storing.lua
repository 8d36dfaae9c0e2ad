-- Where a task that is submitted goes: to the end of its line; to the claim that follows, if it would wait alone; to what is
-- parked under its function; or, if it isn't due, to the sorted set. Records and lines are written by the caller.
-- Needs queue, PARKED.
-- include: expiring
-- include: ready
-- include: unique
local left_over -- by id: that an earlier task has something in CONTENTS; nil: none has
local stored, lines -- what is to be written: records, and entries by priority; nil, false: nothing
local due_count
local shelved -- by function: whether it has a shelf; nil: none was looked up
local head_of_line, between -- of the record of a task that is ready

local function begin_storing()
  stored, lines, shelved, left_over, due_count = nil, {false, false, false}, nil, nil, 0
  dead.replaced = nil
  head_of_line, between = 'q ' .. queue .. ' ', ' ' .. NOW .. ' 0 - '
end

-- The end of a record without its payload, if that is large: it goes to CONTENTS. Extras follow a '-' in its line.
local function without_payload(id, tail)
  local call, label_bytes, payload_bytes, extras, ends = string.match(tail, '^([^ ]+ [^ ]+ [^ ]+) (%d+) (%d+)([^\n]*)()\n')
  if tonumber(payload_bytes) <= INLINE_BYTES then return tail end
  put_content(id, string.sub(tail, ends + 1 + label_bytes))
  return call .. ' ' .. label_bytes .. ' 0 ' .. payload_bytes .. string.sub(extras, 3)
    .. string.sub(tail, ends, ends + label_bytes), true
end

local function put_record(id, text)
  stored = add_pair(stored, id, text)
end

-- At the end of its line: a task that is ready and that any process may run.
local function store_in_line(id, tail)
  local priority, ticket = string.byte(tail) - 48, next_ticket()
  local line = lines[priority]
  if line then line[#line + 1] = member(ticket, id) else lines[priority] = {member(ticket, id)} end
  s.waiting[priority] = s.waiting[priority] + 1
  due_count = due_count + 1
  put_record(id, head_of_line .. ticket .. between .. tail)
end

-- In no place yet: the claim that follows takes the task, or puts it at the end of its line.
local function store_fresh(id, tail)
  fresh = new_task(id, next_ticket(), tail)
  s.line_at = now
  wake(now)
  count(priority_of(fresh), 1)
  due_count = 1
end

-- On the shelf of its function, if there is one: then no process that can't run it has to move it there.
local function is_shelved(fn)
  shelved = shelved or {}
  if shelved[fn] == nil then shelved[fn] = redis.call('SISMEMBER', PARKED, fn) == 1 end
  return shelved[fn]
end

local function store_on_shelf(t)
  local priority = priority_of(t)
  park(priority, function_of(t), NOW, member_of(t))
  count(priority, 1)
  wake(now)
  due_count = due_count + 1
  put_record(t.id, 'w ' .. queue .. ' ' .. t.ticket .. between .. t.tail)
end

local function store_elsewhere(t, at)
  local fn, is_due = function_of(t), at <= now
  enqueue(t, math.max(at, now))
  if is_pinned(fn) then note_parked(reason_of(fn)) elseif is_due then due_count = due_count + 1 end
  put_record(t.id, 'w ' .. queue .. ' ' .. t.ticket .. ' ' .. NOW .. ' '
    .. (is_due and '0' or int(at - now)) .. ' - ' .. t.tail)
end

-- Store a task. `is_lone`: it would wait alone, and a claim follows. An 'x' before `due`: it has extras.
local function store(id, due, tail, is_lone)
  local is_large, has_extras = false, string.byte(due) == 120
  if has_extras then due = string.sub(due, 2) end
  if #tail > INLINE_BYTES then tail, is_large = without_payload(id, tail) end
  if left_over and left_over[id] and not is_large then remove_content(id) end
  if dead.replaced then dead.replace(id) end
  local key, extras
  if has_extras then key, extras = keyed.of_new(tail) end
  local is_ready = due == '' and now >= s.line_at and not key
  if is_ready and s.parked > 0 and is_shelved(function_of({tail = tail})) then
    store_on_shelf({id = id, ticket = next_ticket(), tail = tail})
  elseif is_ready and is_lone and not is_large and not has_extras then
    store_fresh(id, tail)
  elseif is_ready then
    store_in_line(id, tail)
  else -- ready tasks go there, too, while the clock is behind after a step back
    local delay = due == '' and 0 or string.match(due, '^%+(.*)')
    local t = {id = id, ticket = next_ticket(), tail = tail, extras = key and extras}
    store_elsewhere(t, delay and now + delay or tonumber(due))
  end
  if has_extras then
    local entry, texts = member(s.texts[2], id), string.match(tail, '^[^\n]* (%S+)\n')
    extra.note_start_by(entry, texts)
    extra.unique.note(entry, texts)
    stored[#stored] = '3' .. stored[#stored]
  elseif is_large then
    stored[#stored] = '2' .. stored[#stored]
  end
end
