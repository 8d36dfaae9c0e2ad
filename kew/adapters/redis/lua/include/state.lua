-- What a queue remembers besides its tasks: read once (`now`, `s`; `s` is nil where nobody declared the queue), written
-- once, by `write_state`, and only what changed. Needs STATE.
--   waiting: how many tasks wait, by priority; line_at: the last time of submit in the lines; wake_at: no later than the
--   first instant at which anything may need a worker; parked: how many tasks are on shelves
-- include: now
local FIELDS = {'settings', 'version', 'paused', 'breaker', 'ticket', 'token', 'wake_at', 'parked', 'waiting', 'line_at',
  'clock'}
local NEVER = math.huge

local function breaker_text(b)
  return b.state .. ' ' .. b.failures .. ' ' .. b.opened_at .. ' ' .. b.epoch .. ' ' .. b.probes
end

local function read_breaker(text)
  local state, failures, opened_at, epoch, probes = string.match(text, '^(%S+) (%d+) (%d+) (%d+) (%d+)$')
  return {state = state, failures = tonumber(failures), opened_at = tonumber(opened_at),
          epoch = tonumber(epoch), probes = tonumber(probes)}
end

-- The breaker is read when somebody asks for it.
local LAZY = {__index = function(state, name)
  if name ~= 'breaker' then return nil end
  state.breaker = read_breaker(state.stored[4])
  return state.breaker
end}

local function read_state()
  local stored = redis.call('HMGET', STATE, unpack(FIELDS))
  if not stored[1] then return nil end
  local high, medium, low = string.match(stored[9], '^(%d+) (%d+) (%d+)$')
  local version, ticket, token = tonumber(stored[2]), tonumber(stored[5]), tonumber(stored[6])
  local wake_at, parked, line_at = tonumber(stored[7]) or NEVER, tonumber(stored[8]), tonumber(stored[10])
  return setmetatable({
    stored = stored, settings = stored[1], paused = stored[3] == '1',
    was = {version = version, ticket = ticket, token = token, wake_at = wake_at, parked = parked, line_at = line_at},
    version = version, ticket = ticket, token = token, wake_at = wake_at, parked = parked, line_at = line_at,
    waiting = {tonumber(high), tonumber(medium), tonumber(low)}, clock = tonumber(stored[11]),
  }, LAZY)
end

local now, s = clock_ms(), read_state()

-- A step back under a second is clamped; a larger one is followed, and counted when the state is next written.
if s and now < s.clock then
  if s.clock - now < 1000 then
    now = s.clock
  else
    s.stepped_back, s.wake_at = true, math.min(s.wake_at, now) -- what was due lies ahead again
  end
end

local settings_read = {}

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
  local changed, breaker = {}, rawget(s, 'breaker')
  local texts = {
    [1] = s.settings, [3] = s.paused and '1' or '0', [4] = breaker and breaker_text(breaker),
    [9] = table.concat(s.waiting, ' '),
  }
  for n, text in pairs(texts) do
    if text and text ~= s.stored[n] then
      changed[#changed + 1] = FIELDS[n]
      changed[#changed + 1] = text
    end
  end
  for name, number in pairs(s.was) do
    if s[name] ~= number then
      changed[#changed + 1] = name
      changed[#changed + 1] = s[name] == NEVER and '' or string.format('%.0f', s[name])
    end
  end
  if #changed == 0 then return end
  redis.call('HSET', STATE, 'clock', now, unpack(changed))
  if s.stepped_back then redis.call('HINCRBY', STATE, 'steps_back', 1) end
end
