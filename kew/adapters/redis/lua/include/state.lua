-- What a queue remembers besides its tasks: read once (`now`, `s`; `s` is nil where nobody declared the queue), written
-- once, by `write_state`, and only what changed. Needs STATE.
-- include: now
local FIELDS = {'settings', 'version', 'paused', 'breaker', 'ticket', 'token', 'clock', 'wake_at', 'parked'}
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
  return {
    settings = stored[1], version = tonumber(stored[2]), paused = stored[3] == '1',
    breaker = read_breaker(stored[4]), ticket = tonumber(stored[5]), token = tonumber(stored[6]),
    clock = tonumber(stored[7]), wake_at = tonumber(stored[8]) or NEVER, parked = tonumber(stored[9]),
    stored = stored,
  }
end

local now, s = clock_ms(), read_state()

-- A step back under a second is clamped; a larger one is followed, and counted when the state is next written.
if s and now < s.clock then
  if s.clock - now < 1000 then now = s.clock else s.stepped_back = true end
end

local function setting(name)
  return tonumber(string.match(s.settings, name .. '=(%d+)'))
end

-- Something may need a worker at `at`: what peek answers from.
local function wake(at)
  if at < s.wake_at then s.wake_at = at end
end

local function write_state()
  local wake_at = s.wake_at == NEVER and '' or string.format('%.0f', s.wake_at)
  local paused = s.paused and '1' or '0'
  local changed = {}
  local function keep(index, text)
    if s.stored[index] ~= text then
      changed[#changed + 1] = FIELDS[index]
      changed[#changed + 1] = text
    end
  end
  keep(1, s.settings)
  keep(2, tostring(s.version))
  keep(3, paused)
  keep(4, breaker_text(s.breaker))
  keep(5, tostring(s.ticket))
  keep(6, tostring(s.token))
  keep(8, wake_at)
  keep(9, tostring(s.parked))
  if #changed == 0 then return end
  redis.call('HSET', STATE, 'clock', now, unpack(changed))
  if s.stepped_back then redis.call('HINCRBY', STATE, 'steps_back', 1) end
end
