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

local function read_state()
  local stored = redis.call('HMGET', STATE, unpack(FIELDS))
  if not stored[1] then return nil end
  local high, medium, low = string.match(stored[9], '^(%d+) (%d+) (%d+)$')
  return {
    stored = stored, settings = stored[1], version = tonumber(stored[2]), paused = stored[3] == '1',
    breaker = read_breaker(stored[4]), ticket = tonumber(stored[5]), token = tonumber(stored[6]),
    wake_at = tonumber(stored[7]) or NEVER, parked = tonumber(stored[8]),
    waiting = {tonumber(high), tonumber(medium), tonumber(low)}, line_at = tonumber(stored[10]),
    clock = tonumber(stored[11]),
  }
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
  local wake_at = s.wake_at == NEVER and '' or string.format('%.0f', s.wake_at)
  local texts = {
    s.settings, tostring(s.version), s.paused and '1' or '0', breaker_text(s.breaker), tostring(s.ticket),
    tostring(s.token), wake_at, tostring(s.parked), table.concat(s.waiting, ' '), tostring(s.line_at),
  }
  local changed = {}
  for n, text in ipairs(texts) do
    if s.stored[n] ~= text then
      changed[#changed + 1] = FIELDS[n]
      changed[#changed + 1] = text
    end
  end
  if #changed == 0 then return end
  redis.call('HSET', STATE, 'clock', now, unpack(changed))
  if s.stepped_back then redis.call('HINCRBY', STATE, 'steps_back', 1) end
end
