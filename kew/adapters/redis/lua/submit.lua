-- flags:
-- Apply settlements, store groups of tasks in order, each whole or not at all, later ones seeing earlier ones; then the
-- ordinary claim. (It wants nothing: no claim. The reply then says that work waits for this process, if it would be notified.)
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle hungry workers functions lanes unreadable
-- ARGV: channel queue incarnation lane sequence:int want:int lease_ms:int has_room:int holds:int recover_limit:int park_limit:int settled_count:int groups*
-- ALONE KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases parked idle functions unreadable
-- ALONE ARGV: channel queue groups*
-- TICK KEYS: schedules tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases parked idle functions unreadable
-- TICK ARGV: channel queue tick groups*
--   groups: first so many settlements as in settle.lua; then per group the number of its tasks, if it is to come after
--   another task also that one's nonce and id; then per task: id; due ('+delay_ms' or an instant; '': at once, in any
--   process; with an 'x' before it if it has extras); the record's end, from the priority on
-- Reply: {now, {word, id or {id, id of the task that it met, ...}, ... per group}, the claim's answer or false, what settle.lua answers to settlements, if any came,
--   1 if work waits}
--   A tick: one group of one task, or none, if the schedule is what the caller believes (include/ticks.lua). Reply: {now, word,
--   the schedule or false}
-- include: settle
-- include: storing
-- include: ticks

-- In a function of its own, whose locals count for themselves: Lua has 200 at a time in one.
local operation = (function()
  local nonces -- by id: of the tasks that were in before; nil: none
  local tails -- by id: of the tasks of earlier groups; nil: there are none

  -- The size of the group that begins at ARGV[at], and the nonce and id of the task that it is to come after.
  local function head(at)
    local size = tonumber(ARGV[at])
    if size then return size end
    local number, nonce, id = string.match(ARGV[at], '^(%d+) (%S+) (.*)$')
    return tonumber(number), nonce, id
  end

  -- What the store has under an id, after the settlements.
  local function note(id, t)
    nonces = nonces or {}
    if t and not is_absent(t) then nonces[id] = nonce_of(t) end
    if t and t.status == 'f' and t.queue == queue and is_absent(t) then
      dead.replaced = dead.replaced or {}
      dead.replaced[id] = t
    end
    if t and t.beside then
      left_over = left_over or {}
      left_over[id] = true
    end
    if newer and newer[id] then nonces[id] = nonce_of(newer[id]) end
    if unreadable and unreadable[id] then nonces[id] = '' end -- in use, under a nonce that is no caller's
  end

  -- Look at the ids of all settlements and groups at once, and apply the settlements: what is answered to them, and how many
  -- leases they ended.
  local function look_up(first_group)
    -- One task alone: most likely its id is new.
    if #ARGV == groups_from + 3 and redis.call('HEXISTS', TASKS, ARGV[groups_from + 1]) == 0 and tonumber(ARGV[groups_from]) then
      return nil, 0
    end
    local ids, at = {}, first_group
    for n = groups_from, first_group - 1, 5 do ids[#ids + 1] = ARGV[n] end
    while at <= #ARGV do
      local size, _, before = head(at)
      for n = 1, size do ids[#ids + 1] = ARGV[at + 3 * n - 2] end
      if before then ids[#ids + 1] = before end
      at = at + 1 + 3 * size
    end
    local fetched, answers, freed = fetch(ids), nil, 0
    if first_group > groups_from then
      answers, freed = settle_each(groups_from, first_group - 1, ids, fetched)
    end
    for n, t in ipairs(fetched) do
      if t or newer or unreadable then note(ids[n], t) end
    end
    return answers, freed
  end

  local function nonce_in_use(id)
    local tail = tails and tails[id]
    return nonces and nonces[id] or tail and nonce_of({tail = tail})
  end

  -- The id of the first task whose key has no place left; nil: all have one.
  local function without_place(at, size)
    local is_limited, left = setting('key_size') or s.keyed and s.keyed.limits > 0, {}
    for n = at, is_limited and at + 3 * size - 1 or 0, 3 do
      local key = string.byte(ARGV[n + 1]) == 120 and keyed.of_new(ARGV[n + 2])
      if key then
        if not left[key] then
          local count = keyed.count_of(key)
          left[key] = keyed.size_of(key) - count
        end
        left[key] = left[key] - 1
        if left[key] < 0 then return ARGV[n] end
      end
    end
    return nil
  end

  -- The id of the first task that would expire before the instant at which it is due; nil: there is none.
  local function late_one(at, size)
    for n = at, at + 3 * size - 1, 3 do
      local due = string.match(ARGV[n + 1], '^x(%d+)$')
      local start_by = due and string.match(ARGV[n + 2], '^[^\n]*[ ,]start_by=(%d+)[^\n]*\n')
      if start_by and due - now >= tonumber(start_by) then return ARGV[n] end
    end
    return nil
  end

  -- The id of the first task that costs more than a rate can ever give; nil: there is none.
  local function too_costly(at, size)
    for n = at, at + 3 * size - 1, 3 do
      local tail = string.byte(ARGV[n + 1]) == 120 and ARGV[n + 2]
      local cost = tail and extra.cost_in(string.match(tail, '^[^\n]* (%S+)\n')) or 1
      if cost > 1 then
        local key = keyed.of_new(tail)
        if cost > GATES.rate.most() or key and cost > keyed.most_cost(key) then return ARGV[n] end
      end
    end
    return nil
  end

  -- Whether the tasks that begin at ARGV[at] may be stored: the word, and the id that it is about. kew.domain.admitting
  local function admit(at, size, has_extras)
    local refused = has_extras and too_costly(at, size)
    if refused then return 'costly', refused end
    if count_waiting() + size > setting('max_size') then return setting('max_size') == 0 and 'draining' or 'full', '' end
    refused = has_extras and without_place(at, size)
    if refused then return 'key_full', refused end
    local late = has_extras and late_one(at, size)
    if late then return 'late', late end
    return 'done', ''
  end

  -- The word for the group whose tasks begin at ARGV[at], and the id that was used before. If some of them have unique keys,
  -- also what was met, how many are to be stored, which then come first in ARGV, and what is to be replaced.
  local function judge_group(at, size, after, before)
    local seen, repeated, has_extras = size > 1 and {}, 0, false
    for n = at, at + 3 * size - 1, 3 do
      local id = ARGV[n]
      local nonce = nonce_in_use(id)
      if seen and seen[id] or nonce and nonce ~= nonce_of({tail = ARGV[n + 2]}) then return 'duplicate', id end
      if seen then seen[id] = true end
      if nonce then repeated = repeated + 1 end
      has_extras = has_extras or string.byte(ARGV[n + 1]) == 120
    end
    local is_unique = has_extras and extra.unique.is_used(at, size)
    if repeated > 0 and not is_unique then return 'same', '' end
    if before and nonce_in_use(before) ~= after then return 'early', '' end
    if not is_unique then return admit(at, size, has_extras) end
    local new, met, replaced = extra.unique.meeting(at, size, nonce_in_use)
    if not new then return 'held', met end
    if new == 0 and not met then return 'same', '' end
    local word, about = 'done', ''
    if new > 0 then word, about = admit(at, new, true) end
    if word ~= 'done' then return word, about end
    return 'done', met or '', new, replaced
  end

  -- What the tasks that this call stored wait for, at most FUNCTIONS_AT_ONCE of it.
  local function stored_functions(first_group, outcomes)
    local functions, is_listed, at = {}, {}, first_group
    for group = 1, #outcomes, 2 do
      local size = head(at)
      for n = at + 3, outcomes[group] == 'done' and at + 3 * size or 0, 3 do
        local fn = reason_of(function_of({tail = ARGV[n]}))
        if not is_listed[fn] and #functions < FUNCTIONS_AT_ONCE then
          is_listed[fn] = true
          functions[#functions + 1] = fn
        end
      end
      at = at + 1 + 3 * size
    end
    return functions
  end

  -- Write what was stored so far: what comes next changes it.
  local function write_stored()
    if lines[1] or lines[2] or lines[3] then
      s.line_at = now
      wake(now)
    end
    save_state(false)
    for priority = 1, 3 do
      if lines[priority] then send('RPUSH', LINE[priority], lines[priority]) end
    end
    flush()
    if stored then send('HSET', TASKS, stored) end
    stored, lines = nil, {false, false, false}
    extra.unique.begin()
  end

  -- Store what may be stored: the word of each group, and the id that was used before.
  local function store_groups(first_group)
    local outcomes, at = nil, first_group
    local is_lone = incarnation and #ARGV == at + 3 and count_waiting() == 0 and s.parked == 0
    while at <= #ARGV do
      local size, after, before = head(at)
      local word, id, new, replaced = judge_group(at + 1, size, after, before)
      outcomes = add_pair(outcomes, word, id)
      if word == 'done' then
        local has_more = at + 3 * size < #ARGV
        if has_more then tails = tails or {} end
        for n = at + 1, at + 3 * (new or size), 3 do
          if has_more then tails[ARGV[n]] = ARGV[n + 2] end
          store(ARGV[n], ARGV[n + 1], ARGV[n + 2], is_lone)
        end
        if replaced then extra.unique.replace(replaced, write_stored) end
      end
      at = at + 1 + 3 * size
    end
    if lines[1] or lines[2] or lines[3] then
      s.line_at = now
      wake(now)
    end
    return outcomes or {}
  end

  -- The claim; whatever becomes of it, a fresh task that it doesn't take gets the place for which it is counted.
  local function claim_for_fresh()
    if not fresh then return claim(true) end
    local is_done, answer, taken, short = pcall(claim)
    place_fresh()
    if not is_done then error(answer) end
    return answer, taken, short
  end

  local function operation()
    if incarnation == '' then incarnation = nil end
    begin_ready()
    local word, known, text
    if tick then
      word, known, text = ticks.judge(SCHEDULES, tick, #ARGV >= groups_from, now)
      if word == 'done' and not s and #ARGV >= groups_from then return {now, 'no_queue', text} end
      if word == 'busy' or (word == 'done' and #ARGV < groups_from) then text = ticks.committed(known, text, word) end
      if word ~= 'done' or #ARGV < groups_from then return {now, word, text or false} end
    end
    if not s then return {now, false, false} end
    if want == 0 then s.submitter, incarnation = incarnation, nil end
    begin_storing()
    extra.unique.begin()
    nonces, tails = nil, nil
    local first_group = groups_from + 5 * (settled_count or 0)
    local wake_before, epoch = s.wake_at, first_group > groups_from and s.breaker.epoch
    local answers, freed = look_up(first_group)
    local outcomes = store_groups(first_group)
    if tick then text = ticks.committed(known, text, outcomes[1], ARGV[groups_from + 1]) end
    -- Counts first, then entries, then records: if a write fails, too much is counted, an entry means nothing, and
    -- nothing is stored.
    local is_saved = not incarnation and not answers and not s.keyed
    if not fresh then save_state(is_saved) end -- else the claim begins with it
    for priority = 1, 3 do
      if lines[priority] then send('RPUSH', LINE[priority], lines[priority]) end
    end
    flush()
    if stored then send('HSET', TASKS, stored) end

    local pinned = newly_parked
    newly_parked = nil
    local is_earlier = s.wake_at < wake_before
    local answer, taken, short = claim_for_fresh()
    for fn in pairs(pinned or {}) do
      local process = string.sub(fn, 2)
      if process ~= incarnation then notify_of_work(process) end
    end
    if answers then
      if s.is_newly_snoozed then
        freed, due_count, is_earlier = taken, 0, true -- as in settle.lua
      elseif s.breaker.epoch ~= epoch then
        freed = taken + count_waiting()
      end
      waking.offer_freed(math.max(freed, due_count) - taken, short, is_earlier)
    elseif not short then
      local count = due_count > taken and waking.wakes(due_count - taken, is_earlier) or 0
      if due_count <= taken and is_earlier and taken == 0 and count_idle() > 0 then count = 1 end -- a process has to set a timer
      if count > 0 then offer(count, incarnation, stored_functions(first_group, outcomes)) end
    end
    write_state(is_saved)
    stored, lines, nonces, tails = nil, nil, nil, nil -- they would be kept until the next call
    if tick then return {now, outcomes[1], text} end
    if s.has_work then return {now, outcomes, answer, answers or false, 1} end
    return {now, outcomes, answer, answers}
  end

  return operation
end)()
