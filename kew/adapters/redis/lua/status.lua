-- flags: no-writes
-- The queue at this moment.
-- KEYS: state line1 line2 line3 waiting1 waiting2 waiting3 leases parked workers functions
-- ARGV:
-- Reply: {now, settings, version, paused, breaker (judged), ticket, token, held, {waiting by priority},
--   {processes that serve it}, {function, count, ... that wait and that none of these knows}}
-- include: moves

local function is_known(fn, processes)
  for _, process in ipairs(processes) do
    if redis.call('SISMEMBER', FUNCTIONS .. ':' .. process, fn) == 1 then return true end
  end
  return false
end

local function operation()
  begin_moves()
  if not s then return {now, false} end
  local processes = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf')
  local stuck = {}
  for _, fn in ipairs(redis.call('SMEMBERS', PARKED)) do
    local tasks = 0
    for priority = 1, 3 do tasks = tasks + redis.call('ZCARD', shelf(priority, fn)) end
    if tasks > 0 and not is_known(fn, processes) then
      stuck[#stuck + 1], stuck[#stuck + 2] = fn, tasks
    end
  end
  return {now, s.settings, s.version, s.paused and 1 or 0, breaker_text(judged()), s.ticket, s.token,
    redis.call('ZCARD', LEASES), s.waiting, processes, stuck}
end
