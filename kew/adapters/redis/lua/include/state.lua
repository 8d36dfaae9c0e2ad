-- What a queue remembers besides its tasks: read once, by `begin_state`, written at the end, by `write_state`, and only
-- what changed; before a claim that rides along also by `save_state`. Needs STATE.
--   waiting: how many tasks wait, by priority; line_at: the last time of submit in the lines; wake_at: no later than the
--   first instant at which anything may need a worker; parked: how many tasks are on shelves; clock: when it was written
-- include: now
local NEVER = 1 / 0 -- a library sees no `math` while it is loaded
local COUNTS = '^(%d+) (%d) (%d+) (%d+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+) (%S+) (%d+) (%d+)$'

local function breaker_text(b)
  return b.state .. ' ' .. b.failures .. ' ' .. b.opened_at .. ' ' .. b.epoch .. ' ' .. b.probes
end

local function read_breaker(text)
  local state, failures, opened_at, epoch, probes = string.match(text, '^(%S+) (%d+) (%d+) (%d+) (%d+)$')
  return {state = state, failures = tonumber(failures), opened_at = tonumber(opened_at),
          epoch = tonumber(epoch), probes = tonumber(probes)}
end

-- All counts but the clock, as they are stored.
local function counts_text(s)
  return string.format('%d %s %d %d %d %d %d %d %s %d ', s.version, s.paused and '1' or '0', s.ticket, s.token,
    s.waiting[1], s.waiting[2], s.waiting[3], s.parked,
    s.wake_at == NEVER and '-' or string.format('%d', s.wake_at), s.line_at)
end

-- The breaker is read when somebody asks for it.
local LAZY = {__index = function(state, name)
  if name ~= 'breaker' then return nil end
  state.breaker = read_breaker(state.stored[3])
  return state.breaker
end}

-- States as they were written last, by key, from one call to the next: text that says the same need not be taken apart again.
-- Weak: they last until the garbage collector comes.
local WEAK = {__mode = 'v'}
local kept

local function is_same_text(a, b)
  return a[1] == b[1] and a[2] == b[2] and a[3] == b[3]
end

local function read_state()
  local stored = redis.call('HMGET', STATE, 'settings', 'counts', 'breaker')
  if not stored[1] then return nil end
  kept = kept or setmetatable({}, WEAK)
  local known = kept[STATE]
  kept[STATE] = nil -- from here on it is changed, and a call that fails doesn't write it
  if known and is_same_text(known.stored, stored) then return known end
  local version, paused, ticket, token, high, medium, low, parked, wake_at, line_at, clock = string.match(stored[2], COUNTS)
  return setmetatable({
    stored = stored, settings = stored[1], version = tonumber(version), paused = paused == '1', ticket = tonumber(ticket),
    token = tonumber(token), waiting = {tonumber(high), tonumber(medium), tonumber(low)}, parked = tonumber(parked),
    wake_at = tonumber(wake_at) or NEVER, line_at = tonumber(line_at), clock = tonumber(clock),
  }, LAZY)
end

local now, NOW -- the clock, and the same as text
local s -- the state; nil where nobody declared the queue

-- A step back of the clock under a second is clamped; a larger one is followed, and counted when the state is next written.
local function begin_state()
  now, s = clock_ms(), read_state()
  if s and now < s.clock then
    if s.clock - now < 1000 then
      now = s.clock
    else
      s.stepped_back, s.wake_at = true, math.min(s.wake_at, now) -- what was due lies ahead again
    end
  end
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

local function count_waiting()
  return s.waiting[1] + s.waiting[2] + s.waiting[3]
end

-- Write what changed so far: whatever comes next, and may fail, what was stored until here is counted.
local function save_state()
  local stored, counts = s.stored, counts_text(s)
  local breaker = rawget(s, 'breaker') and breaker_text(s.breaker) or stored[3]
  local is_breaker_same, is_settings_same = breaker == stored[3], s.settings == stored[1]
  if not (is_breaker_same and is_settings_same and counts == string.sub(stored[2], 1, #counts)) then
    counts = counts .. NOW
    if is_breaker_same and is_settings_same then
      redis.call('HSET', STATE, 'counts', counts)
    else
      redis.call('HSET', STATE, 'counts', counts, 'breaker', breaker, 'settings', s.settings)
    end
    if s.stepped_back then redis.call('HINCRBY', STATE, 'steps_back', 1) end
    stored[1], stored[2], stored[3], s.clock = s.settings, counts, breaker, now
  end
  s.stepped_back = nil
end

-- The same at the end of a call, for the next one to find.
local function write_state()
  save_state()
  kept[STATE] = s
end
