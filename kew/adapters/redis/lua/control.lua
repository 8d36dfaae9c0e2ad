-- flags: allow-oom
-- Carry out a command for a whole queue, once per increasing sequence of the process.
-- KEYS: state line1 line2 line3 waiting1 waiting2 waiting3 leases idle workers lanes
-- ARGV: channel queue incarnation command sequence:int
-- Reply: {word, now}
-- include: moves

local function operation()
  begin_moves()
  if not s then return {'no_queue', now} end
  local lanes = LANES .. ':' .. incarnation
  if sequence <= tonumber(redis.call('HGET', lanes, 'control') or 0) then return {'same', now} end

  if command == 'pause' or command == 'resume' then
    s.paused = command == 'pause'
  elseif command == 'record_failure' then
    count_failure(judged().epoch)
  elseif command == 'reset_breaker' then
    s.breaker = new_breaker('closed', s.breaker.epoch + 1)
  else
    error('unknown command ' .. command)
  end
  redis.call('HSET', lanes, 'control', sequence)
  redis.call('ZADD', WORKERS, 'NX', now, incarnation) -- so that sweep finds the lane of a process that never announced
  offer_all()
  write_state()
  return {'done', now}
end
