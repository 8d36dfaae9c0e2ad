-- The circuit breaker: kew.domain.breaker, function by function, and kew.domain.gates.breaker.
-- include: gate
local BREAKER_KEPT = 20
-- `s.blamed`: the failure that is about to count, by the task's id and the error.

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

-- An error or a name as people will read it: kew.domain.failures.as_kept.
local function breaker_text_kept(text)
  return #text > 300 and string.gsub(string.sub(text, 1, 300), '[\192-\255][\128-\191]*$', '') or text
end

-- The breaker changes. What begins another epoch is remembered: kew.domain.breaker_history.moved.
local function breaker_move(b, at, cause, id, why)
  if b.epoch ~= s.breaker.epoch then
    s.unsaved = s.unsaved or {}
    s.unsaved['breaker:' .. b.epoch % BREAKER_KEPT] = string.format('%d %d %s %s %d ', b.epoch, at, b.state, cause, #id) .. id .. breaker_text_kept(why)
  end
  s.breaker = b
end

local function count_success(epoch)
  local b = s.breaker
  if epoch ~= b.epoch then return end
  if b.state == 'half_open' then breaker_move(new_breaker('closed', b.epoch + 1), now, 'probe_succeeded', '', '') else b.failures = 0 end
end

local function breaker_judge()
  local b = judged()
  if b ~= s.breaker then
    local is_due = b.state == 'half_open'
    breaker_move(b, is_due and reopens_at(s.breaker) or now, is_due and 'reset_timeout' or 'turned_off', '', '')
  end
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
  text = breaker_text_kept(text)
  s.blamed = {id, text}
  redis.call('HSET', STATE, 'failure:' .. s.breaker.failures % 10, NOW .. ' ' .. #id .. ' ' .. id .. text)
end

local function count_failure(epoch)
  local b, limit = s.breaker, setting('breaker_failures')
  if not breaker_counts(epoch) then return end
  local failures = b.failures + 1
  if b.state == 'half_open' or failures >= limit then
    breaker_move(new_breaker('open', b.epoch + 1, now), now, b.state == 'half_open' and 'probe_failed' or 'failures', unpack(s.blamed))
    wake(reopens_at(s.breaker))
  else
    b.failures = failures
  end
end

-- By a person: kew.domain.breaker.opened.
local function open_breaker(by)
  if setting('breaker_failures') == 0 then return end
  breaker_move(new_breaker('open', s.breaker.epoch + 1, now), now, 'operator', '', by)
  wake(reopens_at(s.breaker))
end

-- The same: kew.domain.breaker.reset.
local function reset_breaker(by)
  breaker_move(new_breaker('closed', s.breaker.epoch + 1), now, 'operator', '', by)
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

-- What it did last: fields of STATE, added to `flat` with their texts.
local function breaker_past(flat)
  if s.breaker.epoch == 0 then return end
  for slot = 0, BREAKER_KEPT - 1 do
    local field = 'breaker:' .. slot
    local text = s.unsaved and s.unsaved[field] or redis.call('HGET', STATE, field)
    if text then flat[#flat + 1], flat[#flat + 2] = field, text end
  end
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

register({past = breaker_past, judge = breaker_judge, room = breaker_room, opens_at = breaker_opens_at, granted = breaker_granted, ended = breaker_ended})
