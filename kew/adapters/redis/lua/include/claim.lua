-- The ordinary claim: kew.domain.queue.claim, after recovering a bounded number of ended leases. Nothing is claimed where
-- `incarnation` is nil. The answer: {word, wait_ms (-1: only a notification), version, {id, lease_until, record, ...}}.
-- Needs incarnation, lane, sequence, want, lease_ms, has_room, holds, recover_limit, park_limit; LANES, IDLE, HUNGRY.
-- include: recover
-- include: ready
local PARKED_RETRY_MS = 5000
local TURN_MS, COME_MS, TOLD_AT_MOST = 250, 100, 3
local INVITED_AT_ONCE = 9

-- A repeat gets those of its leases that are still live, in order of their tokens.
local function granted_before(last)
  local found = {}
  if sequence == last then
    local prefix = incarnation .. '.' .. lane .. '.' .. sequence .. '.'
    local held = redis.call('ZRANGEBYSCORE', LEASES, '(' .. now, '+inf', 'WITHSCORES')
    local ids = {}
    for n = 1, #held, 2 do ids[#ids + 1] = id_of(held[n]) end
    for n, t in ipairs(fetch(ids)) do
      if t and string.sub(t.lease, 1, #prefix) == prefix then found[#found + 1] = {t, held[2 * n]} end
    end
    table.sort(found, function(a, b) return tonumber(a[1].token) < tonumber(b[1].token) end)
  end
  local leases = {}
  for _, pair in ipairs(found) do
    leases[#leases + 1] = pair[1].id
    leases[#leases + 1] = pair[2]
    leases[#leases + 1] = packed(pair[1])
  end
  return {'same', 0, s.version, leases}, 0, false
end

-- Put taken tasks under leases of this claim.
local function grant(taken)
  local lease_until, epoch, leases = now + lease_ms, int(s.breaker.epoch), {}
  local prefix = incarnation .. '.' .. lane .. '.' .. sequence .. '.'
  local fields, ends, ends_at = {}, {}, int(lease_until)
  for n, t in ipairs(taken) do
    t.status, t.attempt, t.lease, t.started_at = 'p', t.attempt + 1, prefix .. n, NOW
    t.token, t.epoch = int(s.token + n), epoch
    local record = packed(t)
    fields[2 * n - 1], fields[2 * n] = t.id, record
    ends[2 * n - 1], ends[2 * n] = ends_at, member_of(t)
    leases[3 * n - 2], leases[3 * n - 1], leases[3 * n] = t.id, lease_until, record
  end
  send('HSET', TASKS, fields)
  send('ZADD', LEASES, ends)
  s.token = s.token + #taken
  if #taken > 0 then wake(lease_until) end
  if s.breaker.state == 'half_open' then s.breaker.probes = s.breaker.probes + #taken end
  return leases
end

-- How long until time alone may bring more, and when anybody may need a worker.
local function wait_ms(held, shelves)
  local first = redis.call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')[2]
  local at = first and tonumber(first) or NEVER
  if s.breaker.state == 'open' then at = math.min(at, reopens_at(s.breaker)) end
  s.wake_at = at
  if free_leases(held) > 0 then
    local runnable, any = next_due(shelves)
    s.wake_at = math.min(at, any)
    if s.parked > 0 then s.wake_at = math.min(s.wake_at, now + PARKED_RETRY_MS) end
    at = math.min(at, runnable)
  end
  return at == NEVER and -1 or math.max(0, at - now)
end

-- Others may be able to run what this process can't: tell them when it is parked, and again every now and then.
local function offer_shelves(is_time)
  for fn in pairs(newly_parked) do offer_parked(fn) end
  if is_time and s.parked > 0 then
    for _, fn in ipairs(redis.call('SRANDMEMBER', PARKED, 5)) do
      if not newly_parked[fn] and not can_run(fn) then offer_parked(fn) end
    end
  end
end

local function read_hungry(text)
  local held, since, told = string.match(text, '^(%d+) (%d+) (%d+)$')
  return {holds = tonumber(held), since = tonumber(since), told = tonumber(told)}
end

-- Everybody who would take more of the limit, the claimer among them, in turn; and what was remembered of the claimer.
local function in_turn(flat)
  local me = {who = incarnation, holds = holds, since = now}
  local all, mine = {me}, nil
  for n = 1, #flat, 2 do
    local each = read_hungry(flat[n + 1])
    each.who = flat[n]
    if each.who == incarnation then mine = each else all[#all + 1] = each end
  end
  if mine and mine.holds == holds then me.since = mine.since end
  for _, each in ipairs(all) do each.is_early = now - each.since < TURN_MS end
  table.sort(all, function(a, b)
    if a.is_early ~= b.is_early then return b.is_early end
    if a.is_early and (a == me) ~= (b == me) then return a == me end
    if a.since ~= b.since then return a.since < b.since end
    return a.who < b.who
  end)
  return all, mine
end

-- How many leases this claim may take of `room`; the rival that comes first for what is left; and what is remembered of
-- this process: kew.domain.sharing.
local function shared(free, room)
  if room == 0 then
    local text = redis.call('HGET', HUNGRY, incarnation)
    return 0, nil, text and read_hungry(text)
  end
  local flat = redis.call('HGETALL', HUNGRY)
  if #flat == 0 then return room, nil, nil end
  local all, mine = in_turn(flat)
  local total, part, left, rival = free, 0, free, nil
  for _, each in ipairs(all) do total = total + each.holds end
  local equal, odd = math.floor(total / #all), total % #all
  for place, each in ipairs(all) do
    local given = math.min(left, math.max(0, equal + (place <= odd and 1 or 0) - each.holds))
    left = left - given
    if each.who == incarnation then part = given elseif given > 0 then rival = rival or each end
  end
  if part >= room then return room, nil, mine end
  return part, rival, mine
end

local function hungry_text(held, since, told)
  return string.format('%d %d %d', held, since, told)
end

-- This process would take more: remember it, and tell the rival of what was left for it. True where there is no rival any
-- more, so that somebody else has to be told.
local function share(part, rival, mine)
  local since = part == 0 and mine and mine.holds == holds and mine.since or now
  redis.call('HSET', HUNGRY, incarnation, hungry_text(holds + part, since, 0))
  if not rival then return false end
  wake(now)
  local is_told = tell(rival.who, 'w ' .. queue)
  if is_told and rival.told + 1 < TOLD_AT_MOST then
    redis.call('HSET', HUNGRY, rival.who, hungry_text(rival.holds, rival.since, rival.told + 1))
  else
    redis.call('HDEL', HUNGRY, rival.who)
  end
  return not is_told
end

-- The limit is reached and tasks wait: an idle process that has not met it yet is told, so that it becomes known as hungry.
local function invite()
  if redis.call('ZCARD', IDLE) == 0 then return end
  for _, process in ipairs(redis.call('ZRANGE', IDLE, 0, INVITED_AT_ONCE)) do
    if process ~= incarnation and redis.call('HEXISTS', HUNGRY, process) == 0 then
      redis.call('ZREM', IDLE, process)
      if tell(process, 'w ' .. queue) then return end
    end
  end
end

local function claim_anew(lanes)
  s.breaker = judged()
  local held = redis.call('ZCARD', LEASES)
  local free = free_leases(held)
  local room = math.min(want, free)
  local part, rival, mine = shared(free, room)
  local taken, shelves, cut = {}, nil, false
  if part > 0 then taken, shelves, cut = take_ready(part, park_limit) end
  local leases = grant(taken)
  redis.call('HSET', lanes, lane, sequence)
  local wait, short = 0, #taken < want
  if short then
    local is_time = s.wake_at <= now
    if not cut then wait = wait_ms(held + #taken, shelves or known_shelves()) end
    redis.call('ZADD', IDLE, now, incarnation)
    if free_leases(held + #taken) > 0 then offer_shelves(is_time) end
  elseif has_room == 0 then
    redis.call('ZREM', IDLE, incarnation) -- told, it could take nothing, and an idle process would not be told
  end
  local is_left = false
  if short and #taken == part and count_waiting() > 0 then
    is_left = share(part, rival, mine)
    if rival then wait = wait < 0 and COME_MS or math.min(wait, COME_MS) end
  elseif mine then
    redis.call('HDEL', HUNGRY, incarnation)
  end
  if #taken == free and count_waiting() > 0 then invite() end
  return {'done', wait, s.version, leases}, #taken, short and not is_left
end

-- The answer, how many leases were granted, and whether fewer than wanted. The caller writes the state.
local function claim()
  if not incarnation then return false, 0, false end
  save_state() -- of what this claim rides on
  local present_until, lanes = redis.call('ZSCORE', WORKERS, incarnation), LANES .. ':' .. incarnation
  local is_present = present_until and tonumber(present_until) > now
  local recovered = is_present and recover(recover_limit)
  local last = tonumber(redis.call('HGET', lanes, lane) or 0)
  if sequence <= last then return granted_before(last) end
  if not is_present then return {'no_worker', 0, s.version, {}}, 0, false end
  if sequence > 1 and last == 0 then return {'no_lane', 0, s.version, {}}, 0, false end
  local answer, taken, short = claim_anew(lanes)
  if not short then offer_waiting(recovered - taken, incarnation) end
  return answer, taken, short
end
