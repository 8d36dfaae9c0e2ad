-- What a queue remembers besides its tasks: read once, by `begin_state`, written at the end, by `write_state`, and only
-- what changed; before a claim that rides along also by `save_state`. Needs STATE.
--   version, edition: how often the settings were changed, and what identifies them
--   waiting: how many tasks wait, by priority; line_at: the last time of submit in the lines; wake_at: no later than the
--   first instant at which anything may need a worker; parked: how many tasks are parked; clock: when it was written;
--   rest: what stands behind it: the queue's snooze, and what a newer version wrote, which stays; format: the version that a process must know to claim
--   keyed: what is known of keys, false if there never were any; open: what happened in this minute, false if it wasn't read;
--   minute_ends: when another one begins; closed: what happened in one that is over, until it is written
-- include: now
-- include: turns
-- include: overrides
-- include: history
local VERSION = 3 -- of records: what this library knows
local NEVER = 1 / 0 -- a library sees no `math` while it is loaded
local COUNTS = '^(%d+):(%S*) (%d) (%d+) (%d+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+) (%S+) (%d+) (%d+) (%d+)(.*)$'

local function breaker_text(b)
  return string.format('%s %d %d %d %d', b.state, b.failures, b.opened_at, b.epoch, b.probes)
end

local function read_breaker(text)
  local state, failures, opened_at, epoch, probes = string.match(text, '^(%S+) (%d+) (%d+) (%d+) (%d+)$')
  return {state = state, failures = tonumber(failures), opened_at = tonumber(opened_at),
          epoch = tonumber(epoch), probes = tonumber(probes)}
end

-- All counts but the clock, as they are stored. Only numbers that have changed are formatted: that takes most of the time
-- here.
local function counts_text(s)
  local texts, known, waiting = s.texts, s.known, s.waiting
  local version, ticket, token, high, medium, low = s.version, s.ticket, s.token, waiting[1], waiting[2], waiting[3]
  local parked, wake_at, line_at, longest = s.parked, s.wake_at, s.line_at, s.longest
  if known[1] ~= version then known[1], texts[1] = version, string.format('%d', version) end
  if known[2] ~= ticket then known[2], texts[2] = ticket, string.format('%d', ticket) end
  if known[3] ~= token then known[3], texts[3] = token, string.format('%d', token) end
  if known[4] ~= high then known[4], texts[4] = high, string.format('%d', high) end
  if known[5] ~= medium then known[5], texts[5] = medium, string.format('%d', medium) end
  if known[6] ~= low then known[6], texts[6] = low, string.format('%d', low) end
  if known[7] ~= parked then known[7], texts[7] = parked, string.format('%d', parked) end
  if known[8] ~= wake_at then known[8], texts[8] = wake_at, wake_at == NEVER and '-' or string.format('%d', wake_at) end
  if known[9] ~= line_at then known[9], texts[9] = line_at, string.format('%d', line_at) end
  if known[10] ~= longest then known[10], texts[10] = longest, string.format('%d', longest) end
  return texts[1] .. ':' .. s.edition .. (s.paused and ' 1 ' or ' 0 ') .. texts[2] .. ' ' .. texts[3] .. ' ' .. texts[4] .. ' '
    .. texts[5] .. ' ' .. texts[6] .. ' ' .. texts[7] .. ' ' .. texts[8] .. ' ' .. texts[9] .. ' ' .. texts[10] .. ' '
end

-- The breaker is parsed when it is first used.
local LAZY = {__index = function(state, name)
  if name ~= 'breaker' then return nil end
  state.breaker = read_breaker(state.stored[3])
  return state.breaker
end}

-- States as they were written last, by key, from one call to the next: text that says the same need not be taken apart again.
-- Weak: they last until the garbage collector comes.
local WEAK = {__mode = 'v'}
local kept

-- The version that a process must know to obey these settings.
local function format_of(settings)
  return tonumber(string.match(' ' .. settings, ' format=(%d+)')) or 1
end

-- Overrides in force again, which a process of an older version has replaced by what it declared. The edition is another one,
-- so that all processes look at the settings.
local function restore_overrides(state)
  if not overrides.is_overruled(state.settings) then return end
  state.settings, state.version, state.edition = overrides.in_force(state.settings), state.version + 1, state.edition .. '+'
  state.format = format_of(state.settings)
end

local function is_same_text(a, b)
  return a[1] == b[1] and a[2] == b[2] and a[3] == b[3]
end

-- What is known of keys, if the queue has had any: kept behind the counts.
local function read_keyed(rest)
  local turn, high, medium, low, first, second, third, behind, limits, ends = string.match(rest, ' keys=(%d+),(%d+),(%d+),(%d+),(%d+),(%d+),(%d+),?(%d*),?(%d*),?(%d*)')
  if not turn then return false end
  return {turn = tonumber(turn), plain = {tonumber(high), tonumber(medium), tonumber(low)},
    waiting = {tonumber(first), tonumber(second), tonumber(third)}, is_behind = behind == '1',
    limits = tonumber(limits) or 0, ends = tonumber(ends) or 0}
end

local function read_state()
  local stored = redis.call('HMGET', STATE, 'settings', 'counts', 'breaker')
  if not stored[1] then return nil end
  kept = kept or setmetatable({}, WEAK)
  local known = kept[STATE]
  kept[STATE] = nil -- from here on it is changed, and a call that fails doesn't write it
  if known and is_same_text(known.stored, stored) then return known end
  local version, edition, paused, ticket, token, high, medium, low, parked, wake_at, line_at, longest, clock, rest = string.match(stored[2] or '', COUNTS)
  if not version then error({err = 'OLDLAYOUT ' .. STATE}) end -- kew/adapters/redis/refusals.py says it to people
  local state = setmetatable({
    stored = stored, settings = stored[1], version = tonumber(version), edition = edition, paused = paused == '1', ticket = tonumber(ticket),
    token = tonumber(token), waiting = {tonumber(high), tonumber(medium), tonumber(low)}, parked = tonumber(parked),
    wake_at = tonumber(wake_at) or NEVER, line_at = tonumber(line_at), longest = tonumber(longest), clock = tonumber(clock),
    rest = rest, format = format_of(stored[1]), texts = {}, known = {}, keyed = rest ~= '' and read_keyed(rest) or false,
    minute_ends = history.end_of_minute(tonumber(clock)), open = false, closed = false,
    -- What calls put here. They are false and not nil when they are unset: for nil LAZY would be asked, and a table in which keys
    -- come and go is rehashed now and then.
    unsaved = false, stepped_back = false, is_rest_new = false, is_newly_snoozed = false, submitter = false, has_work = false,
    gates_of = false, gates = false, answers = false, values_of = false, values = false, rates_of = false, rates = false, rate_logs = false,
    key_rate_of = false, key_rate = false, lines = false, sets = false,
  }, LAZY)
  if string.find(stored[1], ' overrides=', 1, true) then restore_overrides(state) end
  return state
end

local now, NOW -- the clock, and the same as text
local s -- the state; nil if the queue doesn't exist

local function count_waiting()
  local waiting = s.waiting[1] + s.waiting[2] + s.waiting[3]
  return s.keyed and waiting + keyed.waiting() or waiting
end

-- A step back of the clock under a second is clamped; a larger one is followed, and counted when the state is next written.
local function begin_state()
  now, s = clock_ms(), read_state()
  if s and now < s.clock then
    if s.clock - now < 1000 then
      now = s.clock
    else
      if s.keyed then s.keyed.is_behind, s.keyed.differs = true, true end
      s.stepped_back, s.wake_at = true, math.min(s.wake_at, now) -- what was due lies ahead again
    end
  end
  if s and (now >= s.minute_ends or now < s.minute_ends - history.MINUTE_MS) then history.roll(s, now, count_waiting()) end
  NOW = string.format('%d', now)
end

local function setting(name)
  if s.values_of ~= s.settings then s.values_of, s.values = s.settings, {} end
  local value = s.values[name]
  if not value then
    value = tonumber(string.match(s.settings, name .. '=(%d+)'))
    s.values[name] = value
  end
  return value
end

-- Something may need a worker at `at`: what peek answers from.
local function wake(at)
  if at < s.wake_at then s.wake_at = at end
end

-- The number of the next task, as text, which the counts need too.
local function next_ticket()
  local ticket = s.ticket + 1
  local text = string.format('%d', ticket)
  s.ticket, s.known[2], s.texts[2] = ticket, ticket, text
  return text
end

-- What gates are to remember, by field.
local function save_memories()
  for field, text in pairs(s.unsaved) do redis.call('HSET', STATE, field, text) end
  s.unsaved = false
end

-- Write what changed so far: whatever comes next, and may fail, what was stored until here is counted. `is_last`: nothing comes
-- next, so what happened is written, too.
local function save_state(is_last)
  local stored, counts = s.stored, counts_text(s)
  local breaker = rawget(s, 'breaker') and breaker_text(s.breaker) or stored[3]
  local is_breaker_same, is_settings_same = breaker == stored[3], s.settings == stored[1]
  if s.keyed and s.keyed.differs then s.rest, s.is_rest_new = string.gsub(s.rest, ' keys=%S*', '') .. keyed.text(), true end
  local past = is_last and history.text(s)
  if past or not (is_breaker_same and is_settings_same and not s.is_rest_new and counts == string.sub(stored[2], 1, #counts)) then
    counts = counts .. NOW .. s.rest
    if is_breaker_same and is_settings_same then
      if past then redis.call('HSET', STATE, 'counts', counts, 'history', past) else redis.call('HSET', STATE, 'counts', counts) end
    else
      redis.call('HSET', STATE, 'counts', counts, 'breaker', breaker, 'settings', s.settings)
      if past then redis.call('HSET', STATE, 'history', past) end
    end
    if is_last and s.closed then history.write(s) end
    if s.stepped_back then redis.call('HINCRBY', STATE, 'steps_back', 1) end
    stored[1], stored[2], stored[3], s.clock, s.is_rest_new = s.settings, counts, breaker, now, false
  end
  if s.unsaved then save_memories() end
  s.stepped_back = false
end

-- The same at the end of a call, for the next one to find. `is_saved`: nothing has changed since `save_state`, or since the
-- call began; what the clock alone has changed then is for the next call to find out.
local function write_state(is_saved)
  if not is_saved then
    save_state(true)
  elseif s.stepped_back or s.closed then
    return
  end
  kept[STATE] = s
end
