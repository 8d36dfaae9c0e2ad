-- Apply outcomes in order, each under its lease's identity: kew.domain.queue.settle.
-- Needs incarnation, has_room.
-- include: claim
-- include: unique
local IS_FINAL = {fail = true, fail_uncounted = true}
local IS_COUNTED = {fail = true, retry = true}

-- What a failure says: the delay, the error, and for people its group, and its message and traceback as they are kept.
local function report_of(number, text)
  local delay, error_bytes, group, message_bytes = string.match(number, '^(%d+) (%d+) (%S+) (%d+)$')
  if not delay then return number, text, 'failed', '', '' end
  local ends = error_bytes + message_bytes
  return delay, string.sub(text, 1, error_bytes), group, string.sub(text, error_bytes + 1, ends), string.sub(text, ends + 1)
end

local function fail(t, word, number, said)
  local delay, text, group, message, traceback = report_of(number, said)
  if t.cancel == '1' then
    ended('probe', tonumber(t.epoch))
    set_outcome(t, text)
    return finish(t, 'x')
  end
  if IS_COUNTED[word] then breaker_note(tonumber(t.epoch), t.id, text) end
  ended(IS_COUNTED[word] and 'failure' or 'probe', tonumber(t.epoch))
  dead.note(t, 'failed', group, message, traceback)
  set_outcome(t, text)
  t.failures = t.failures + 1
  if IS_FINAL[word] then finish(t, 'f') else wait_again(t, 'r', now + delay) end
end

local function snooze(t, scope, delay, text)
  ended('probe', tonumber(t.epoch))
  set_outcome(t, text)
  GATES.snoozed(t, scope, tonumber(delay))
  local key = scope == 'key' and t.extras and keyed.of(t)
  if key then keyed.hold_back(key, tonumber(delay)) end
  if t.cancel == '1' then return finish(t, 'x') end
  history.count(s, history.COUNTED.snoozed)
  extra.count_snooze(t)
  wait_again(t, 'w', now + delay)
end

local function release(t, started)
  ended('probe', tonumber(t.epoch))
  if t.cancel == '1' then return finish(t, 'x') end
  if started == '1' and is_at_most_once(t) then
    dead.note(t, 'interrupted', 'interrupted', '', '')
    set_outcome(t, 'attempt ' .. t.attempt .. ' was interrupted, and at_most_once forbids another; '
      .. 'replay the task if it may run again')
    return finish(t, 'f')
  end
  wait_again(t, 'w', ready_at(t))
end

-- `number`: how many bytes the error has; the message follows, as it is kept.
local function not_started(t, number, said)
  ended('probe', tonumber(t.epoch))
  if t.cancel == '1' then return finish(t, 'x') end
  local text = number == '' and said or string.sub(said, 1, number)
  dead.note(t, 'not-started', 'not-started', number == '' and '' or string.sub(said, number + 1), '')
  t.losses = t.losses + 1
  if t.losses > setting('max_deliveries') then
    set_outcome(t, 'it could not be started, and was delivered ' .. t.losses .. (t.losses == 1 and ' time' or ' times')
      .. ', more often than max_deliveries allows: ' .. text)
    return finish(t, 'f')
  end
  wait_again(t, 'w', ready_at(t))
end

-- Where the outcome settled last took the task.
local WENT_TO = {succeed = 'c', fail = 'f', fail_uncounted = 'f', retry = 'r', retry_uncounted = 'r', release = 'w',
  not_started = 'w', snooze_task = 'w', snooze_key = 'w', snooze_queue = 'w'}

local function went_to(t, word)
  local is_final = word == 'not_started' or (word == 'release' and is_at_most_once(t))
  if t.status == 'x' or (is_final and t.status == 'f') then return t.status end
  return WENT_TO[word]
end

-- The runs that are to be counted: when they began, and how many. And the epoch of the successes just before this settlement;
-- nil: it was something else.
local ran_from, ran_times, succeeded

local function begin_settling()
  ran_from, ran_times, succeeded = nil, 0, nil
end

local function count_runs()
  if ran_times > 0 then history.ran(s, ran_from, now, ran_times) end
  ran_from, ran_times = nil, 0
end

-- {word, status} of one settlement.
local function settle(t, lease, word, number, text)
  if not t or t.expires_at ~= '0' and is_absent(t) or t.queue ~= queue then return 'stale', '' end
  local settled = lease .. ':' .. word
  if t.lease ~= lease then
    if t.settled == settled then return 'same', went_to(t, word) end
    return 'stale', ''
  end
  t.settled = settled
  sender = lease
  if word ~= 'release' and word ~= 'not_started' then
    if t.started_at ~= ran_from then
      count_runs()
      ran_from = t.started_at
    end
    ran_times = ran_times + 1
    if word ~= 'succeed' then history.count(s, history.COUNTED.others) end
  end
  if word == 'succeed' then
    if t.epoch ~= succeeded then
      ended('success', tonumber(t.epoch))
      succeeded = t.epoch
    end
    set_result(t, text)
    finish(t, 'c')
    return 'done', 'c'
  end
  succeeded = nil
  local is_superseded = t.extras and not IS_FINAL[word] and extra.unique.is_superseded(t)
  if string.sub(word, 1, 7) == 'snooze_' then
    snooze(t, string.sub(word, 8), number, text)
  elseif word == 'release' then
    release(t, number)
  elseif word == 'not_started' then
    not_started(t, number, text)
  else
    fail(t, word, number, text)
  end
  if is_superseded then extra.unique.end_superseded(t) end
  return 'done', t.status
end

-- Those whose arguments are ARGV[first] to ARGV[last], of the tasks that were fetched by these ids: {word, status letter, ...},
-- and how many leases they ended. A task that was fetched twice is one table from here on.
local function settle_each(first, last, ids, fetched)
  local outcomes, freed, tasks, at = {}, 0, {}, 0
  s.is_newly_snoozed = false
  begin_settling()
  for n = 1, #ids do
    local id = ids[n]
    local t = tasks[id]
    if t then fetched[n] = t else tasks[id] = fetched[n] end
  end
  if s.keyed then keyed.read_holders(fetched) end
  for n = first, last, 5 do
    local word, status = settle(tasks[ARGV[n]], ARGV[n + 1], ARGV[n + 2], ARGV[n + 3], ARGV[n + 4])
    outcomes[at + 1], outcomes[at + 2] = word, status
    at = at + 2
    if word == 'done' then freed = freed + 1 end
  end
  count_runs()
  flush()
  sender = ''
  return outcomes, freed
end
