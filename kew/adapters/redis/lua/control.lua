-- flags: allow-oom
-- Carry out a command for a whole queue, once per increasing sequence of the process.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases idle workers lanes parked functions
-- ARGV: channel queue incarnation verb sequence:int why
-- Reply: {word, now}
-- include: waking

local function hold(how)
  redis.call('HSET', STATE, 'hold:' .. how, NOW .. ' ' .. why .. '\t' .. incarnation)
end

-- A queue drains while its `max_size` is overridden: kew.domain.draining.
local function use_settings(wanted)
  if wanted == s.settings then return end
  s.settings, s.version, s.edition = wanted, s.version + 1, incarnation .. '.' .. int(sequence)
end

local function operation()
  begin_moves()
  if not s then return {'no_queue', now} end
  local lanes = LANES .. ':' .. incarnation
  if sequence <= tonumber(redis.call('HGET', lanes, 'control') or 0) then return {'same', now} end

  if verb == 'pause' then
    s.paused = true
    hold('paused')
  elseif verb == 'drain' then
    use_settings(overrides.changed(s.settings, 'max_size~0'))
    hold('draining')
  elseif verb == 'resume' then
    s.paused = false
    GATES.resumed()
    use_settings(overrides.changed(s.settings, 'max_size~!'))
    redis.call('HDEL', STATE, 'hold:paused', 'hold:draining')
  elseif verb == 'record_failure' then
    breaker_note(judged().epoch, '', '')
    ended('failure', judged().epoch)
  elseif verb == 'open_breaker' then
    open_breaker(why)
  elseif verb == 'reset_breaker' then
    reset_breaker(why)
  else
    error('unknown command ' .. verb)
  end
  redis.call('HSET', lanes, 'control', sequence)
  redis.call('ZADD', WORKERS, 'NX', now, incarnation) -- so that sweep finds the lane of a process that never announced
  offer_all()
  write_state()
  return {'done', now}
end
