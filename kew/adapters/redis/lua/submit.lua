-- flags:
-- Store groups of tasks in order, each whole or not at all, later ones seeing earlier ones; then the ordinary claim.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle hungry workers functions lanes
-- ARGV: channel queue incarnation lane sequence:int want:int lease_ms:int has_room:int holds:int recover_limit:int park_limit:int groups*
-- ALONE KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases parked idle
-- ALONE ARGV: channel queue groups*
--   groups: per group the number of its tasks, then per task: id; due ('+delay_ms' or an instant);
--   the record's end, from the priority on
-- Reply: {now, {word, id, ... per group}, the claim's answer or false}
-- include: claim

local TAIL = '^(%d)a? (%S+) (%S+)'
local stored, lines, nonces, due_count

-- The nonces of the ids in use, of all groups at once.
local function look_up()
  local ids, at = {}, groups_from
  while at <= #ARGV do
    for n = 1, tonumber(ARGV[at]) do ids[#ids + 1] = ARGV[at + 3 * n - 2] end
    at = at + 1 + 3 * tonumber(ARGV[at])
  end
  for n, t in ipairs(fetch(ids)) do
    if t and not is_absent(t) then nonces[ids[n]] = nonce_of(t) end
  end
end

-- The word for the group whose tasks begin at ARGV[at], and the id that was used before.
local function judge_group(at, size)
  local seen, repeated = {}, 0
  for n = at, at + 3 * size - 1, 3 do
    local id, nonce = ARGV[n], nil
    if nonces[id] then nonce = select(2, string.match(ARGV[n + 2], TAIL)) end
    if seen[id] or nonces[id] ~= nonce then return 'duplicate', id end
    seen[id] = true
    if nonce then repeated = repeated + 1 end
  end
  if repeated > 0 then return 'same', '' end
  if count_waiting() + size > setting('max_size') then return 'full', '' end
  return 'done', ''
end

local function store(id, due, tail)
  local priority, nonce, fn = string.match(tail, TAIL)
  priority = tonumber(priority)
  local at = now
  if due ~= '+0' then at = string.byte(due) == 43 and now + string.sub(due, 2) or tonumber(due) end
  local is_due = at <= now
  s.ticket = s.ticket + 1
  local t = {id = id, ticket = int(s.ticket), tail = tail}
  local in_line = is_due and not is_pinned(fn) and now >= s.line_at -- after a step back of the clock, not at the end
  if in_line then
    append(lines, priority, member_of(t))
    count(priority, 1)
    wake(at)
    s.line_at = now
  else
    enqueue(t, math.max(at, now))
  end
  if is_pinned(fn) then newly_parked[fn] = true elseif is_due then due_count = due_count + 1 end
  nonces[id] = nonce
  stored[#stored + 1] = id
  stored[#stored + 1] = (in_line and 'q ' or 'w ') .. queue .. ' ' .. t.ticket .. ' ' .. NOW
    .. (is_due and ' 0 - ' or ' ' .. int(at - now) .. ' - ') .. tail
end

local function operation()
  begin_ready()
  if not s then return {now, false, false} end
  stored, lines, nonces, due_count = {}, {{}, {}, {}}, {}, 0
  local outcomes, wake_before = {}, s.wake_at
  look_up()
  local at = groups_from
  while at <= #ARGV do
    local size = tonumber(ARGV[at])
    local word, id = judge_group(at + 1, size)
    outcomes[#outcomes + 1], outcomes[#outcomes + 2] = word, id
    if word == 'done' then
      for n = at + 1, at + 3 * size, 3 do store(ARGV[n], ARGV[n + 1], ARGV[n + 2]) end
    end
    at = at + 1 + 3 * size
  end
  send('HSET', TASKS, stored)
  for priority = 1, 3 do send('RPUSH', LINE[priority], lines[priority]) end
  flush()

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
  return {now, outcomes, answer}
end
