-- flags: allow-oom
-- A process serves the queue for `ttl_ms` from now, and can run these functions too. Renewing costs two commands.
-- `slots` ('most is_shared', or nothing) is kept for people who ask why a task doesn't run; earlier versions ignore it.
-- `report` (nothing: it stays) is what the process says of itself, and costs one more.
-- It shortens no presence: the clock may step back and forth again between two renewals.
-- KEYS: state workers functions parked lanes processes
-- ARGV: channel queue incarnation ttl_ms:int slots report functions*
-- Reply: {word, how many functions of the process the queue knows now (-1: not counted, a renewal), now}
-- include: notify
-- include: record

local function operation()
  local now = clock_ms()
  local is_renewal = functions_from > #ARGV
  if redis.call('ZADD', WORKERS, 'XX', 'GT', 'CH', now + ttl_ms, incarnation) == 0 then
    if redis.call('HEXISTS', STATE, 'settings') == 0 then return {'no_queue', 0, now} end
    if redis.call('ZADD', WORKERS, 'GT', now + ttl_ms, incarnation) == 1 then is_renewal = false end
  end
  if report ~= '' then redis.call('HSET', PROCESSES, incarnation, string.format('%d ', now) .. report) end
  if is_renewal then return {'done', -1, now} end
  if slots ~= '' then redis.call('HSET', LANES .. ':' .. incarnation, 'slots', slots) end
  local mine = FUNCTIONS .. ':' .. incarnation
  local known = {unpack(ARGV, functions_from)}
  for version = 3, VERSION do known[#known + 1] = '?' .. version end
  redis.call('SADD', mine, unpack(known))
  if functions_from <= #ARGV then
    if #redis.call('SINTER', mine, PARKED) > 0 then notify(incarnation, 'w ' .. queue) end
  end
  return {'done', count_functions(incarnation), now}
end
