-- The circuit breaker: kew.domain.breaker, function by function, and kew.domain.gates.breaker.
-- include: gate
local function reopens_at(b)
  return b.opened_at + setting('breaker_reset_ms')
end

local function new_breaker(state, epoch, opened_at)
  return {state = state, failures = 0, opened_at = opened_at or 0, epoch = epoch, probes = 0}
end

local function judged()
  local b = s.breaker
  if b.state == 'closed' then return b end
  if setting('breaker_failures') == 0 then return new_breaker('closed', b.epoch + 1) end
  if b.state == 'open' and b.opened_at > now then return new_breaker('open', b.epoch, now) end -- the clock stepped back
  if b.state == 'open' and now >= reopens_at(b) then return new_breaker('half_open', b.epoch + 1) end
  return b
end

-- How many more leases a judged breaker lets through; nil: it sets no limit.
local function allowance(b)
  if b.state == 'closed' then return nil end
  if b.state == 'open' then return 0 end
  return math.max(0, setting('breaker_probes') - b.probes)
end

local function count_success(epoch)
  local b = s.breaker
  if epoch ~= b.epoch then return end
  if b.state == 'half_open' then s.breaker = new_breaker('closed', b.epoch + 1) else b.failures = 0 end
end

local function breaker_judge()
  s.breaker = judged()
end

-- Whether a failure of this epoch counts: kew.domain.breaker.counts.
local function breaker_counts(epoch)
  local b = s.breaker
  return epoch == b.epoch and b.state ~= 'open' and setting('breaker_failures') > 0
end

-- Keep a failure that is about to count, so that people see it: kew.domain.failures.
local function breaker_note(epoch, id, text)
  breaker_judge()
  if not breaker_counts(epoch) then return end
  if #text > 300 then text = string.gsub(string.sub(text, 1, 300), '[\192-\255][\128-\191]*$', '') end
  redis.call('HSET', STATE, 'failure:' .. s.breaker.failures % 10, NOW .. ' ' .. #id .. ' ' .. id .. text)
end

local function count_failure(epoch)
  local b, limit = s.breaker, setting('breaker_failures')
  if not breaker_counts(epoch) then return end
  local failures = b.failures + 1
  if b.state == 'half_open' or failures >= limit then
    s.breaker = new_breaker('open', b.epoch + 1, now)
    wake(reopens_at(s.breaker))
  else
    b.failures = failures
  end
end

-- By a person: kew.domain.breaker.opened.
local function open_breaker()
  if setting('breaker_failures') == 0 then return end
  s.breaker = new_breaker('open', s.breaker.epoch + 1, now)
  wake(reopens_at(s.breaker))
end

local function return_probe(epoch)
  local b = s.breaker
  if epoch == b.epoch and b.state == 'half_open' then b.probes = b.probes - 1 end
end

-- The failures that are kept, by slot; a list without them if nothing has failed.
local function breaker_failures()
  local flat = {}
  if s.breaker.state == 'closed' and s.breaker.failures == 0 then return flat end
  for slot = 0, 9 do flat[slot + 1] = redis.call('HGET', STATE, 'failure:' .. slot) end
  return flat
end

local BY_EFFECT = {success = count_success, failure = count_failure, probe = return_probe}

local function breaker_room()
  return allowance(judged())
end

local function breaker_opens_at()
  return s.breaker.state == 'open' and reopens_at(s.breaker) or nil
end

local function breaker_granted(leases)
  if s.breaker.state == 'half_open' then s.breaker.probes = s.breaker.probes + leases end
end

local function breaker_ended(effect, epoch)
  breaker_judge()
  BY_EFFECT[effect](epoch)
end

register({judge = breaker_judge, room = breaker_room, opens_at = breaker_opens_at, granted = breaker_granted, ended = breaker_ended})
