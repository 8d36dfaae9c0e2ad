-- What happened in a queue, by the minute and by the hour: kew.domain.history. The minute that is open is the field `history` of
-- STATE: the ticket and token at its beginning, a count for each of COUNTED, and how many waits and runs took how long. What
-- happens most isn't counted: submits and starts are what ticket and token have grown by, and what completed is what ran, but
-- for the `others`. It is read by the first call that counts something or meets the next minute, and kept with the state; it is
-- written together with the counts, if it has changed.
--   <queue>:history   a hash: 'm<minute>' and 'h<hour>' since 1970, each with what happened in it, as `packed` writes it
-- Needs STATE.
local history = {
  MINUTE_MS = 60000, HOUR_MS = 3600000, MINUTES_KEPT = 1440, HOURS_KEPT = 720, BUCKETS = 28, RECENT = 5,
  COUNTED = {others = 1, failed = 2, retried = 3, lost = 4, cancelled = 5, expired = 6, snoozed = 7},
  OF = {f = 2, x = 5}, -- the same by the status in which a task ends
}
do
  local WAITS, RUNS, LAST = 7, 35, 63 -- how many numbers come before those of the waits, and of the runs
  local OPEN = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+)$'
  local CLOSED = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+)$'

  -- The minute at whose end the state needs another one, as an instant.
  function history.end_of_minute(at)
    return at - at % history.MINUTE_MS + history.MINUTE_MS
  end

  local function histogram_of(text)
    local buckets = {}
    for number in string.gmatch(text, '%d+') do buckets[#buckets + 1] = tonumber(number) end
    return buckets
  end

  -- A minute in which nothing happened yet. `numbers`, and the same as `texts`: the counts, then as many buckets of waits, then of
  -- runs; `last_wait` and `last_run`: the last bucket of each that was used. The texts at `olds`, `old` of
  -- them, are false: their numbers have changed.
  local function begin_at(ticket, token)
    local minute = {head = string.format('%d %d ', ticket, token), ticket = ticket, token = token, numbers = {}, texts = {}, olds = {}, old = 0,
      last_wait = 1, last_run = 1, counts_part = false, differs = false, queued_at = false, offset = false, wait_place = 0, started_at = false, run_place = 0}
    for n = 1, LAST do minute.numbers[n], minute.texts[n] = 0, '0' end
    return minute
  end

  local function set(minute, n, number)
    minute.numbers[n], minute.texts[n] = number, string.format('%d', number)
  end

  local function set_buckets(minute, before, text)
    local last = 0
    for n, number in ipairs(histogram_of(text)) do
      set(minute, before + n, number)
      last = n
    end
    return last
  end

  -- What a state says that is declared now.
  history.NOTHING_YET = '0 0 0 0 0 0 0 0 0 0 0'

  -- The open minute. A queue of an earlier version has none: it begins here.
  local function open(state)
    local text = redis.call('HGET', STATE, 'history')
    local found = text and {string.match(text, OPEN)}
    local minute
    if found and found[1] then
      minute = begin_at(tonumber(found[1]), tonumber(found[2]))
      for n = 1, WAITS do set(minute, n, tonumber(found[n + 2])) end
      minute.last_wait, minute.last_run = set_buckets(minute, WAITS, found[10]), set_buckets(minute, RUNS, found[11])
    else
      minute = begin_at(state.ticket, state.token)
      minute.differs = true
    end
    state.open = minute
    return minute
  end

  local function add(minute, n, times)
    local numbers, texts = minute.numbers, minute.texts
    numbers[n] = numbers[n] + times
    if texts[n] then
      local old = minute.old + 1
      texts[n], minute.olds[old], minute.old = false, n, old
    end
  end

  -- One more of what `n`, of COUNTED, stands for.
  function history.count(state, n)
    local minute = state.open or open(state)
    minute.counts_part = false
    add(minute, n, 1)
  end

  -- The bucket of a time in ms: the first is less than 1 ms, each further one ends at twice the time of the one before.
  local function bucket_of(ms)
    local bucket, ends, most = 1, 1, history.BUCKETS
    while ms >= ends and bucket < most do bucket, ends = bucket + 1, 2 * ends end
    return bucket
  end

  -- So many tasks are started now that were ready at the same `queued_at` and `offset`, as those of one batch are.
  function history.waited(state, t, now, times)
    local minute = state.open or open(state)
    local queued_at, offset, n = t.queued_at, t.offset, minute.wait_place
    if minute.queued_at ~= queued_at or minute.offset ~= offset then
      local is_new = queued_at == t.started_at and offset == '0'
      local bucket = is_new and 1 or bucket_of(now - queued_at - offset)
      n = WAITS + bucket
      minute.queued_at, minute.offset, minute.wait_place = queued_at, offset, n
      if bucket > minute.last_wait then minute.last_wait = bucket end
    end
    add(minute, n, times)
  end

  -- So many runs end that began at `started_at`, as those of one claim did.
  function history.ran(state, started_at, now, times)
    local minute = state.open or open(state)
    local n = minute.run_place
    if minute.started_at ~= started_at then
      local bucket = bucket_of(now - started_at)
      n = RUNS + bucket
      minute.started_at, minute.run_place = started_at, n
      if bucket > minute.last_run then minute.last_run = bucket end
    end
    add(minute, n, times)
  end

  -- The open minute as it is stored; nil: it is as it was.
  function history.text(state)
    local minute = state.open
    if not minute or minute.old == 0 and not minute.differs then return nil end
    local numbers, texts, olds = minute.numbers, minute.texts, minute.olds
    for k = 1, minute.old do
      local n = olds[k]
      texts[n] = string.format('%d', numbers[n])
    end
    minute.old, minute.differs, minute.queued_at, minute.started_at = 0, false, false, false -- what was found for them holds until now
    if not minute.counts_part then minute.counts_part = minute.head .. table.concat(texts, ' ', 1, WAITS) .. ' ' end
    return minute.counts_part .. table.concat(texts, ',', WAITS + 1, WAITS + minute.last_wait) .. ' '
      .. table.concat(texts, ',', RUNS + 1, RUNS + minute.last_run)
  end

  local function joined(numbers, separator)
    local texts = {}
    for n = 1, #numbers do texts[n] = string.format('%d', numbers[n]) end
    return table.concat(texts, separator)
  end

  local function packed(tally)
    return joined(tally.counts, ' ') .. ' ' .. joined(tally.wait, ',') .. ' ' .. joined(tally.run, ',')
  end

  -- The open minute as it would be closed now: nil: nothing happened in it.
  local function tally_of(state, waiting)
    local minute = state.open or open(state)
    local numbers, counts, all, wait, run = minute.numbers, {state.ticket - minute.ticket, state.token - minute.token}, 0, {}, {}
    for n = 1, WAITS do counts[n + 2] = numbers[n] end
    counts[3] = -numbers[1]
    for n = 1, minute.last_wait do wait[n] = numbers[WAITS + n] end
    for n = 1, minute.last_run do
      run[n] = numbers[RUNS + n]
      counts[3] = counts[3] + run[n]
    end
    for n = 1, #counts do all = all + counts[n] end
    if all == 0 then return nil end
    counts[#counts + 1] = waiting
    return {counts = counts, wait = wait, run = run}
  end

  local function added(numbers, others)
    for n = 1, math.max(#numbers, #others) do numbers[n] = (numbers[n] or 0) + (others[n] or 0) end
  end

  -- What is stored of a time, and this: the later one says how many wait.
  local function with_stored(text, tally)
    local numbers = text and {string.match(text, CLOSED)}
    if not numbers or not numbers[1] then return packed(tally) end
    local counts = {}
    for n = 1, 10 do counts[n] = tonumber(numbers[n]) end
    local waiting = tally.counts[10]
    added(counts, tally.counts)
    counts[10] = waiting
    local wait, run = histogram_of(numbers[11]), histogram_of(numbers[12])
    added(wait, tally.wait)
    added(run, tally.run)
    return packed({counts = counts, wait = wait, run = run})
  end

  function history.key()
    return string.sub(STATE, 1, -6) .. 'history'
  end

  -- Another minute begins; what happened in the last one is closed, if anything did.
  function history.roll(state, now, waiting)
    local tally = tally_of(state, waiting)
    if tally then
      state.closed, state.closed_minute = tally, (state.minute_ends - history.MINUTE_MS) / history.MINUTE_MS
      state.open = begin_at(state.ticket, state.token)
      state.open.differs = true
    end
    state.minute_ends = history.end_of_minute(now)
  end

  -- Write what was closed. Work goes on whatever is in the way.
  function history.write(state)
    local tally, minute = state.closed, state.closed_minute
    state.closed = false
    local fields = {string.format('m%d', minute), string.format('h%d', math.floor(minute / 60))}
    local stored = redis.pcall('HMGET', history.key(), unpack(fields))
    if stored.err then return end
    redis.pcall('HSET', history.key(), fields[1], with_stored(stored[1], tally), fields[2], with_stored(stored[2], tally))
  end

  -- Remove what is older than it is kept, or lies ahead: once an hour.
  function history.trim(now)
    local hour = math.floor(now / history.HOUR_MS)
    local trimmed = redis.pcall('HGET', history.key(), 'trimmed')
    if type(trimmed) == 'table' or trimmed and tonumber(trimmed) == hour then return end
    local fields, minute, gone = redis.call('HKEYS', history.key()), math.floor(now / history.MINUTE_MS), {}
    if #fields == 0 then return end
    for _, field in ipairs(fields) do
      local unit, number = string.match(field, '^([mh])(%d+)$')
      local last, most = unit == 'm' and minute or hour, unit == 'm' and history.MINUTES_KEPT or history.HOURS_KEPT
      if number and (tonumber(number) > last or tonumber(number) <= last - most) then gone[#gone + 1] = field end
    end
    for first = 1, #gone, 1000 do
      redis.call('HDEL', history.key(), unpack(gone, first, math.min(first + 999, #gone)))
    end
    redis.call('HSET', history.key(), 'trimmed', string.format('%d', hour))
  end

  -- What happened in each of the last `steps` minutes or hours, the present one included: {number, text, ...}, in order, and
  -- one number twice if it has two parts.
  function history.read(state, now, unit, steps, waiting)
    local size = unit == 'm' and history.MINUTE_MS or history.HOUR_MS
    local last, fields, found = math.floor(now / size), {}, {}
    for n = last - steps + 1, last do fields[#fields + 1] = string.format('%s%d', unit, n) end
    local texts = redis.pcall('HMGET', history.key(), unpack(fields))
    for n = 1, #fields do
      if texts[n] then found[#found + 1], found[#found + 2] = last - steps + n, texts[n] end
    end
    local function add_tally(tally, minute)
      local number = tally and (unit == 'm' and minute or math.floor(minute / 60))
      if number and number > last - steps and number <= last then found[#found + 1], found[#found + 2] = number, packed(tally) end
    end
    add_tally(state.closed, state.closed_minute)
    add_tally(tally_of(state, waiting), math.floor(now / history.MINUTE_MS))
    return found
  end
end
