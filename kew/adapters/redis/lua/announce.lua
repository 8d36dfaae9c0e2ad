-- flags: allow-oom
-- A process serves the queue for `ttl_ms` from now, and can run these functions too, but the first `gone` of them never
-- again. Renewing costs two commands.
-- KEYS: state workers functions parked
-- ARGV: channel queue incarnation ttl_ms:int gone:int functions*
-- Reply: {word, 1 if the process was unknown (all of its functions are needed), now}
-- include: now

local function operation()
  local now = clock_ms()
  local is_new = 0
  if redis.call('ZADD', WORKERS, 'XX', 'CH', now + ttl_ms, incarnation) == 0 then
    if redis.call('HEXISTS', STATE, 'settings') == 0 then return {'no_queue', 0, now} end
    is_new = redis.call('ZADD', WORKERS, now + ttl_ms, incarnation)
  end
  local mine, added_from = FUNCTIONS .. ':' .. incarnation, functions_from + gone
  if gone > 0 then redis.call('SREM', mine, unpack(ARGV, functions_from, added_from - 1)) end
  if added_from <= #ARGV then
    redis.call('SADD', mine, unpack(ARGV, added_from))
    if #redis.call('SINTER', mine, PARKED) > 0 then redis.pcall('PUBLISH', channel .. incarnation, 'w ' .. queue) end
  end
  return {'done', is_new, now}
end
