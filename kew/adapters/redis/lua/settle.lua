-- flags: allow-oom
-- Apply outcomes in order, each under its lease's identity; then the ordinary claim.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle hungry workers functions lanes
-- ARGV: channel queue incarnation lane sequence:int want:int lease_ms:int has_room:int holds:int recover_limit:int park_limit:int settlements*
-- ALONE KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle
-- ALONE ARGV: channel queue settlements*
--   settlements: per outcome: id; lease; succeed, fail, retry or release; the delay of a retry or 1 for a started
--   release; result or error
-- Reply: {now, {word, status letter, ...}, the claim's answer or false}
-- include: claim

local function fail(t, word, delay, text)
  if t.cancel == '1' then
    return_probe(tonumber(t.epoch))
    set_outcome(t, text)
    return finish(t, 'x')
  end
  count_failure(tonumber(t.epoch))
  set_outcome(t, text)
  t.failures = t.failures + 1
  if word == 'fail' then finish(t, 'f') else wait_again(t, 'r', now + delay) end
end

local function release(t, started)
  return_probe(tonumber(t.epoch))
  if t.cancel == '1' then return finish(t, 'x') end
  if started == '1' and is_at_most_once(t) then
    set_outcome(t, 'attempt ' .. t.attempt .. ' was interrupted, and at_most_once forbids another')
    return finish(t, 'f')
  end
  wait_again(t, 'w', ready_at(t))
end

-- Where the outcome settled last took the task.
local WENT_TO = {succeed = 'c', fail = 'f', retry = 'r', release = 'w'}

local function went_to(t, word)
  if t.status == 'x' or (word == 'release' and t.status == 'f' and is_at_most_once(t)) then return t.status end
  return WENT_TO[word]
end

-- {word, status} of one settlement.
local function settle(t, lease, word, number, text)
  if not t or is_absent(t) or t.queue ~= queue then return 'stale', '' end
  local settled = lease .. ':' .. word
  if t.lease ~= lease then
    if t.settled == settled then return 'same', went_to(t, word) end
    return 'stale', ''
  end
  t.settled = settled
  teller = string.match(lease, '^[^.]+')
  if word == 'succeed' then
    count_success(tonumber(t.epoch))
    set_outcome(t, text, true)
    finish(t, 'c')
  elseif word == 'release' then
    release(t, number)
  else
    fail(t, word, number, text)
  end
  return 'done', t.status
end

local function operation()
  begin_ready()
  if not s then return {now, false, false} end
  local ids, tasks, outcomes, freed = {}, {}, {}, 0
  for n = settlements_from, #ARGV, 5 do ids[#ids + 1] = ARGV[n] end
  for n, t in ipairs(fetch(ids)) do tasks[ids[n]] = tasks[ids[n]] or t end
  local epoch, wake_before = s.breaker.epoch, s.wake_at
  for n = settlements_from, #ARGV, 5 do
    local word, status = settle(tasks[ARGV[n]], unpack(ARGV, n + 1, n + 4))
    outcomes[#outcomes + 1], outcomes[#outcomes + 2] = word, status
    if word == 'done' then freed = freed + 1 end
  end
  flush()
  teller = ''
  local is_earlier = s.wake_at < wake_before
  local answer, taken, short = claim()
  if s.breaker.epoch ~= epoch then freed = setting('max_workers') end
  local due = freed > taken and not short and count_due(freed - taken) or 0
  if due > 0 then
    wake(now)
    offer_waiting(due, incarnation)
  elseif not short and (freed > taken and is_later_task_next() or is_earlier) then
    offer(1, incarnation) -- somebody has to set a timer
  end
  write_state()
  return {now, outcomes, answer}
end
