#!lua flags=allow-oom
-- A process serves the queue for `ttl_ms` from now, and can run these functions too. Renewing costs two commands.
-- KEYS: state workers functions parked
-- ARGV: channel queue incarnation ttl_ms:int functions*
-- Reply: {word, 1 if the process was unknown (all of its functions are needed), now}
-- include: now
local now = clock_ms()
local was_known = redis.call('ZADD', WORKERS, 'XX', 'CH', now + ttl_ms, incarnation) == 1
if not was_known then
  if redis.call('EXISTS', STATE) == 0 then return {'no_queue', 0, now} end
  was_known = redis.call('ZADD', WORKERS, now + ttl_ms, incarnation) == 0
end
if functions_from <= #ARGV then
  local mine = FUNCTIONS .. ':' .. incarnation
  redis.call('SADD', mine, unpack(ARGV, functions_from))
  if #redis.call('SINTER', mine, PARKED) > 0 then redis.call('PUBLISH', channel .. incarnation, 'w ' .. queue) end
end
return {'done', was_known and 0 or 1, now}
