-- The ordinary claim: kew.domain.queue.claim, after recovering a bounded number of ended leases. Nothing is claimed if
-- `incarnation` is nil. The answer: {word, wait_ms (-1: only a notification), edition, {id, lease_until, record, ...},
-- how many functions of the process the queue knows (-1: not looked at)}, and {incarnation, count, ...} if it recovered
-- ended leases of these workers, and the newest version of records or settings if one is newer than this library.
-- Needs incarnation, lane, sequence, want, lease_ms, has_room, holds, recover_limit, park_limit; LANES, IDLE, HUNGRY.
-- include: recover
-- include: keyed_looking
-- include: expiring
-- include: waking
local PARKED_RETRY_MS, COME_MS = 5000, 100

-- A record with its payload, if that is not in it, and with its checkpoint, if it has one.
local function with_content(t, record)
  return (t.beside or t.more) and dead.with_beside(t, record, t.beside and redis.call('HGET', CONTENTS, t.id)) or record
end

-- What a lane remembers of its last claim: the sequence, how many leases it was granted, and the ids of their tasks.
local function lane_text(taken)
  local text, count = string.format('%d %d', sequence, #taken), #taken
  if count == 0 then return text end
  if count == 1 then return text .. '\n' .. taken[1].id end
  local ids = {text}
  for n = 1, count do ids[n + 1] = taken[n].id end
  return table.concat(ids, '\n')
end

-- The tasks that the lane's last claim was granted, and maybe others: all that run, if the lane remembers none (earlier
-- versions noted the sequence alone) or if one of the ids has several lines.
local function ids_granted(text)
  local ids, count, listed = {}, string.match(text, '^%d+ (%d+)(.*)$')
  for id in string.gmatch(listed or '', '\n([^\n]*)') do ids[#ids + 1] = id end
  if count and #ids == tonumber(count) then return ids end
  ids = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '(' .. now, '+inf')) do ids[#ids + 1] = id_of(member) end
  return ids
end

-- A repeat gets those of its leases that are still live, in order of their tokens.
local function granted_before(last, text)
  local found = {}
  if sequence == last then
    local prefix = incarnation .. '.' .. lane .. '.' .. sequence .. '.'
    for _, t in ipairs(fetch(ids_granted(text))) do
      local is_own = t and string.sub(t.lease, 1, #prefix) == prefix
      local lease_until = is_own and redis.call('ZSCORE', LEASES, member_of(t))
      if lease_until and tonumber(lease_until) > now then found[#found + 1] = {t, lease_until} end
    end
    table.sort(found, function(a, b) return tonumber(a[1].token) < tonumber(b[1].token) end)
  end
  local leases = {}
  for _, pair in ipairs(found) do
    leases[#leases + 1] = pair[1].id
    leases[#leases + 1] = pair[2]
    leases[#leases + 1] = with_content(pair[1], packed(pair[1]))
  end
  return {'same', 0, s.edition, leases, -1}, 0, false
end

-- Put taken tasks under leases of this claim.
local function grant(taken)
  local lease_until, epoch, leases = now + lease_ms, int(s.breaker.epoch), {}
  local prefix = incarnation .. '.' .. lane .. '.' .. sequence .. '.'
  local fields, ends, ends_at, alike, before = {}, {}, int(lease_until), 0, taken[1]
  for n = 1, #taken do
    local t = taken[n]
    t.status, t.attempt, t.lease, t.started_at = 'p', t.attempt == '0' and '1' or int(t.attempt + 1), prefix .. n, NOW
    t.token, t.epoch = int(s.token + n), epoch
    if t.queued_at == before.queued_at and t.offset == before.offset then
      alike = alike + 1
    else
      history.waited(s, before, now, alike)
      before, alike = t, 1
    end
    local record = packed(t)
    memo.keep(record, t)
    fields[2 * n - 1], fields[2 * n] = t.id, record
    ends[2 * n - 1], ends[2 * n] = ends_at, member_of(t)
    leases[3 * n - 2], leases[3 * n - 1], leases[3 * n] = t.id, lease_until, record
    if t.beside or t.more then leases[3 * n] = dead.with_beside(t, record, t.content) end
  end
  if before then history.waited(s, before, now, alike) end
  send('HSET', TASKS, fields)
  send('ZADD', LEASES, ends)
  s.token = s.token + #taken
  if #taken > 0 then wake(lease_until) end
  granted(#taken, taken)
  return leases
end

-- How long until time alone may bring more, and when the queue may need a worker.
local function wait_ms(held, reasons)
  local first = redis.call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')[2]
  local at = opens_at(first and tonumber(first) or nil)
  s.wake_at = extra.next_cost and math.min(at, now + PARKED_RETRY_MS) or at -- another process may have something cheaper
  if room(held) > 0 then
    local runnable, any = next_due(reasons)
    s.wake_at = math.min(at, any)
    if s.parked > 0 then s.wake_at = math.min(s.wake_at, now + PARKED_RETRY_MS) end
    at = math.min(at, runnable)
  end
  return at == NEVER and -1 or math.max(0, at - now)
end

-- More tasks wait than this process may take: it is starved if it could run more: kew.domain.queue._starved_after.
local function starve(part, mine)
  if has_ready() then
    local since = part == 0 and mine and mine.holds == holds and math.min(mine.since, now) or now
    redis.call('HSET', HUNGRY, incarnation, starved_text(holds + part, since, 0))
  elseif mine then
    redis.call('HDEL', HUNGRY, incarnation)
  end
end

local function claim_anew(lanes)
  judge()
  local held = redis.call('ZCARD', LEASES)
  local free = room(held)
  local part, next_one, mine = next_in_turn(free, math.min(want, free))
  local taken, reasons, cut = {}, nil, extra.is_behind -- more has expired than one claim may end: it grants nothing yet
  if cut then part = 0 end
  if part > 0 then taken, reasons, cut = take_ready(part, park_limit) else place_fresh() end
  local leases = grant(taken)
  s.longest = math.max(s.longest, lease_ms)
  redis.call('HSET', lanes, lane, lane_text(taken))
  local wait, short = 0, #taken < want
  if short then
    local is_time = s.wake_at <= now
    if not cut then wait = wait_ms(held + #taken, reasons or open_reasons()) end
    extra.next_cost = nil
    saved(redis.pcall('ZADD', IDLE, now, incarnation))
    if (is_time or newly_parked) and room(held + #taken) > 0 then waking.offer_all_parked(is_time) end
  elseif has_room == 0 then
    -- Notified, it could take nothing, and an idle process would be passed over.
    saved(redis.pcall('ZREM', IDLE, incarnation))
  end
  local is_left = false
  if short and #taken == part and count_waiting() > 0 then
    starve(part, mine)
    if next_one then
      is_left = not waking.wake_starved(next_one)
      wait = wait < 0 and COME_MS or math.min(wait, COME_MS)
    end
  elseif mine then
    redis.call('HDEL', HUNGRY, incarnation) -- it is left no part of the limit any more
  end
  if #taken == free and count_waiting() > 0 then waking.invite() end
  -- If tasks wait for a process that knows their function, this one may know it, and the queue may have lost that.
  local functions = s.parked > 0 and count_functions(incarnation) or -1
  return {'done', wait, s.edition, leases, functions}, #taken, short and not is_left
end

-- The claim after recovering: its answer, how many leases were granted, and whether fewer than wanted.
local function claim_next(is_present, recovered)
  local lanes = LANES .. ':' .. incarnation
  local text = redis.call('HGET', lanes, lane)
  local last = text and tonumber(string.match(text, '^%d+')) or 0
  if sequence <= last then return granted_before(last, text) end
  if not is_present then return {'no_worker', 0, s.edition, {}, -1}, 0, false end
  if sequence > 1 and last == 0 then return {'no_lane', 0, s.edition, {}, -1}, 0, false end
  if s.format > SETTINGS_FORMAT then -- its limits are not known here
    redis.call('HSET', lanes, lane, lane_text({}))
    return {'done', -1, s.edition, {}, -1}, 0, false
  end
  local answer, taken, short = claim_anew(lanes)
  if not short then offer_waiting(recovered - taken, incarnation) end
  return answer, taken, short
end

-- The same for what the claim rides on, whose state is saved first, unless it `is_saved`. The caller writes the state.
local function claim(is_saved)
  if not incarnation then return false, 0, false end
  if not is_saved then save_state() end
  local present_until = redis.call('ZSCORE', WORKERS, incarnation)
  local is_present = present_until and tonumber(present_until) > now
  local recovered, lost, expired = 0, nil, nil
  if is_present then
    recovered, lost = recover(recover_limit)
    expired = extra.expire(extra.EXPIRED_AT_ONCE)
    if s.keyed and s.keyed.ends > 0 then keyed.expire_own() end
  end
  local answer, taken, short = claim_next(is_present, recovered)
  answer[6] = lost
  if newer or s.format > SETTINGS_FORMAT then answer[6], answer[7] = lost or {}, newest() end
  if expired and #expired > 0 then answer[6], answer[7], answer[8] = lost or {}, answer[7] or 0, expired end
  return answer, taken, short
end
