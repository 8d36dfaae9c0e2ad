-- flags: no-writes
-- The queue at this moment.
-- KEYS: state line1 line2 line3 waiting1 waiting2 waiting3 leases parked workers functions unreadable
-- ARGV:
-- Reply: {now, settings, version, paused, breaker (judged), ticket, token, held, {waiting by priority},
--   {processes that serve it}, {function or '@process', count, ... that wait and that none of these can run}, edition,
--   length of the longest lease, how many can't be read, how many wait for a process of a newer version,
--   {gate, what it remembers, ...}, {failures that the breaker counted, by slot}}
-- include: moves

local function is_known(fn, processes)
  for _, process in ipairs(processes) do
    if fn == '@' .. process then return true end
    if redis.call('SISMEMBER', FUNCTIONS .. ':' .. process, fn) == 1 then return true end
  end
  return false
end

local function operation()
  begin_moves()
  if not s then return {now, false} end
  local processes = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf')
  local stuck, waiting_for_newer = {}, 0
  for _, fn in ipairs(redis.call('SMEMBERS', PARKED)) do
    local tasks = 0
    for priority = 1, 3 do tasks = tasks + redis.call('ZCARD', parked_key(priority, fn)) end
    if is_of_a_version(fn) then
      if tonumber(string.sub(fn, 2)) > VERSION then waiting_for_newer = waiting_for_newer + tasks end
    elseif tasks > 0 and not is_known(fn, processes) then
      stuck[#stuck + 1], stuck[#stuck + 2] = fn, tasks
    end
  end
  local waiting = {s.waiting[1], s.waiting[2], s.waiting[3]}
  for priority = 1, s.keyed and 3 or 0 do waiting[priority] = waiting[priority] + s.keyed.waiting[priority] end
  return {now, s.settings, s.version, s.paused and 1 or 0, breaker_text(judged()), s.ticket, s.token,
    redis.call('ZCARD', LEASES), waiting, processes, stuck, s.edition, s.longest,
    redis.call('ZCARD', UNREADABLE), waiting_for_newer, GATES.memories(), breaker_failures()}
end
