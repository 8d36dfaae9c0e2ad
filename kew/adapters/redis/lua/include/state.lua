-- What a queue remembers besides its tasks: read once, by `begin_state`, written once, by `write_state`, and only what
-- changed. Needs STATE.
--   waiting: how many tasks wait, by priority; line_at: the last time of submit in the lines; wake_at: no later than the
--   first instant at which anything may need a worker; parked: how many tasks are on shelves; clock: when it was written
-- include: now
local NEVER = 1 / 0 -- a library sees no `math` while it is loaded
local COUNTS = '^(%d+) (%d) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%d+) (%d+)$'

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

local function read_state()
  local stored = redis.call('HMGET', STATE, 'settings', 'counts', 'breaker')
  if not stored[1] then return nil end
  local version, paused, ticket, token, high, medium, low, parked, wake_at, line_at, clock = string.match(stored[2], COUNTS)
  return setmetatable({
    stored = stored, settings = stored[1], version = tonumber(version), paused = paused == '1', ticket = tonumber(ticket),
    token = tonumber(token), waiting = {tonumber(high), tonumber(medium), tonumber(low)}, parked = tonumber(parked),
    wake_at = tonumber(wake_at) or NEVER, line_at = tonumber(line_at), clock = tonumber(clock),
  }, LAZY)
end

local now, NOW -- the clock, and the same as text
local s -- the state; nil where nobody declared the queue
local settings_read

-- A step back of the clock under a second is clamped; a larger one is followed, and counted when the state is next written.
local function begin_state()
  now, s, settings_read = clock_ms(), read_state(), {}
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
  local value = settings_read[name]
  if not value then
    value = tonumber(string.match(s.settings, name .. '=(%d+)'))
    settings_read[name] = value
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

local function write_state()
  local counts, breaker = counts_text(s), rawget(s, 'breaker') and breaker_text(s.breaker) or s.stored[3]
  local is_same = counts == string.sub(s.stored[2], 1, #counts) and breaker == s.stored[3]
  if is_same and s.settings == s.stored[1] then return end
  counts = counts .. NOW
  if breaker == s.stored[3] and s.settings == s.stored[1] then
    redis.call('HSET', STATE, 'counts', counts)
  else
    redis.call('HSET', STATE, 'counts', counts, 'breaker', breaker, 'settings', s.settings)
  end
  if s.stepped_back then redis.call('HINCRBY', STATE, 'steps_back', 1) end
end
