#!lua flags=allow-oom
-- A process serves the queue for `ttl_ms` from now, and can run these functions too. Renewing costs three commands.
-- KEYS: state workers functions parked
-- ARGV: channel queue incarnation ttl_ms:int functions*
-- Reply: {word, 1 if no function of it was known (all of them are needed), now}
-- include: now
local now = clock_ms()
local mine = FUNCTIONS .. ':' .. incarnation
if redis.call('ZADD', WORKERS, 'XX', 'CH', now + ttl_ms, incarnation) == 0 then
  if redis.call('EXISTS', STATE) == 0 then return {'no_queue', 0, now} end
  redis.call('ZADD', WORKERS, now + ttl_ms, incarnation)
end
local was_known = redis.call('EXISTS', mine) == 1
if functions_from <= #ARGV then
  redis.call('SADD', mine, unpack(ARGV, functions_from))
  if #redis.call('SINTER', mine, PARKED) > 0 then redis.call('PUBLISH', channel .. incarnation, 'w ' .. queue) end
end
return {'done', was_known and 0 or 1, now}
