-- flags:
-- Store groups of tasks in order, each whole or not at all, later ones seeing earlier ones; then the ordinary claim.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle hungry workers functions lanes
-- ARGV: channel queue incarnation lane sequence:int want:int lease_ms:int has_room:int holds:int recover_limit:int park_limit:int groups*
-- ALONE KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases parked idle
-- ALONE ARGV: channel queue groups*
--   groups: per group the number of its tasks, where it is to come after another task also that one's nonce and id; then per
--   task: id; due ('+delay_ms' or an instant; '': at once, in any process); the record's end, from the priority on
-- Reply: {now, {word, id, ... per group}, the claim's answer or false}
-- include: claim

local nonces, tails -- by id: of the tasks that were in before, of those that this call stored
local stored, lines, due_count
local head_of_line, middle -- of the record of a task that is ready

-- The size of the group that begins at ARGV[at], and the nonce and id of the task that it is to come after.
local function head(at)
  local size = tonumber(ARGV[at])
  if size then return size end
  local number, nonce, id = string.match(ARGV[at], '^(%d+) (%S+) (.*)$')
  return tonumber(number), nonce, id
end

-- The nonces of the ids in use, of all groups at once.
local function look_up()
  local ids, at = {}, groups_from
  while at <= #ARGV do
    local size, _, before = head(at)
    for n = 1, size do ids[#ids + 1] = ARGV[at + 3 * n - 2] end
    if before then ids[#ids + 1] = before end
    at = at + 1 + 3 * size
  end
  for n, t in ipairs(fetch(ids)) do
    if t and not is_absent(t) then nonces[ids[n]] = nonce_of(t) end
  end
end

local function nonce_in_use(id)
  local tail = tails[id]
  return nonces[id] or tail and nonce_of({tail = tail})
end

-- The word for the group whose tasks begin at ARGV[at], and the id that was used before.
local function judge_group(at, size, after, before)
  local seen, repeated = {}, 0
  for n = at, at + 3 * size - 1, 3 do
    local id = ARGV[n]
    local nonce = nonce_in_use(id)
    if seen[id] or nonce and nonce ~= nonce_of({tail = ARGV[n + 2]}) then return 'duplicate', id end
    seen[id] = true
    if nonce then repeated = repeated + 1 end
  end
  if repeated > 0 then return 'same', '' end
  if before and nonce_in_use(before) ~= after then return 'early', '' end
  if count_waiting() + size > setting('max_size') then return 'full', '' end
  return 'done', ''
end

-- At the end of its line: a task that is ready and that any process may run.
local function store_in_line(id, tail)
  local priority = string.byte(tail) - 48
  local line = lines[priority]
  line[#line + 1] = member(s.ticket, id)
  s.waiting[priority] = s.waiting[priority] + 1
  due_count = due_count + 1
  stored[#stored + 1] = head_of_line .. int(s.ticket) .. middle .. tail
end

local function store_elsewhere(t, at)
  local fn, is_due = function_of(t), at <= now
  enqueue(t, math.max(at, now))
  if is_pinned(fn) then newly_parked[fn] = true elseif is_due then due_count = due_count + 1 end
  stored[#stored + 1] = 'w ' .. queue .. ' ' .. t.ticket .. ' ' .. NOW .. ' '
    .. (is_due and '0' or int(at - now)) .. ' - ' .. t.tail
end

local function store(id, due, tail)
  s.ticket = s.ticket + 1
  tails[id] = tail
  stored[#stored + 1] = id
  if due == '' and now >= s.line_at then
    store_in_line(id, tail)
  else -- that is also where ready tasks go for as long as the clock has stepped back
    local delay = due == '' and 0 or string.match(due, '^%+(.*)')
    store_elsewhere({id = id, ticket = int(s.ticket), tail = tail}, delay and now + delay or tonumber(due))
  end
end

local function operation()
  begin_ready()
  if not s then return {now, false, false} end
  stored, lines, nonces, tails, due_count = {}, {{}, {}, {}}, {}, {}, 0
  head_of_line, middle = 'q ' .. queue .. ' ', ' ' .. NOW .. ' 0 - '
  local outcomes, wake_before = {}, s.wake_at
  look_up()
  local at = groups_from
  while at <= #ARGV do
    local size, after, before = head(at)
    local word, id = judge_group(at + 1, size, after, before)
    outcomes[#outcomes + 1], outcomes[#outcomes + 2] = word, id
    if word == 'done' then
      for n = at + 1, at + 3 * size, 3 do store(ARGV[n], ARGV[n + 1], ARGV[n + 2]) end
    end
    at = at + 1 + 3 * size
  end
  for priority = 1, 3 do
    if #lines[priority] > 0 then
      s.line_at = now
      wake(now)
    end
  end
  -- Counts first, then entries, then records: where a write fails, too much is counted, an entry means nothing, and
  -- nothing is stored.
  save_state()
  for priority = 1, 3 do send('RPUSH', LINE[priority], lines[priority]) end
  flush()
  send('HSET', TASKS, stored)

  local pinned = newly_parked
  newly_parked = {}
  local is_earlier = s.wake_at < wake_before
  local answer, taken, short = claim()
  for fn in pairs(pinned) do
    local process = string.match(fn, '^@([^/]*)')
    if process ~= incarnation then tell(process, 'w ' .. queue) end
  end
  if not short then
    if due_count > taken then
      offer_waiting(due_count - taken, incarnation)
    elseif is_earlier and taken == 0 then
      offer(1, incarnation) -- somebody has to set a timer
    end
  end
  write_state()
  stored, lines, nonces, tails = nil, nil, nil, nil -- they would be kept until the next call
  return {now, outcomes, answer}
end
