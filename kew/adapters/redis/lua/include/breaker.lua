-- The circuit breaker: kew.domain.breaker, function by function.
-- include: state
local function reopens_at(b)
  return b.opened_at + setting('breaker_reset_ms')
end

local function new_breaker(state, epoch, opened_at)
  return {state = state, failures = 0, opened_at = opened_at or 0, epoch = epoch, probes = 0}
end

local function judged()
  local b = s.breaker
  if b.state ~= 'closed' and setting('breaker_failures') == 0 then return new_breaker('closed', b.epoch + 1) end
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
  s.breaker = judged()
  local b = s.breaker
  if epoch ~= b.epoch then return end
  if b.state == 'half_open' then s.breaker = new_breaker('closed', b.epoch + 1) else b.failures = 0 end
end

local function count_failure(epoch)
  s.breaker = judged()
  local b, limit = s.breaker, setting('breaker_failures')
  if epoch ~= b.epoch or b.state == 'open' or limit == 0 then return end
  local failures = b.failures + 1
  if b.state == 'half_open' or failures >= limit then
    s.breaker = new_breaker('open', b.epoch + 1, now)
    wake(reopens_at(s.breaker))
  else
    b.failures = failures
  end
end

local function return_probe(epoch)
  s.breaker = judged()
  local b = s.breaker
  if epoch == b.epoch and b.state == 'half_open' then b.probes = b.probes - 1 end
end

-- How many more leases the queue may grant now.
local function free_leases(held)
  if s.paused then return 0 end
  local free = math.max(0, setting('max_workers') - held)
  local probes = allowance(judged())
  return probes and math.min(free, probes) or free
end
