-- flags: allow-oom
-- Create a queue or make these its settings; the latest declaration wins, an equal one changes nothing.
-- KEYS: queues state line1 line2 line3 waiting1 waiting2 waiting3 leases idle
-- ARGV: channel queue settings
-- Reply: {version, the settings replaced or ''}; version 0: it is being purged
-- include: moves

local function operation()
  begin_moves()
  if not s then
    if redis.call('HEXISTS', STATE, 'is_purged') == 1 then return {0, ''} end
    redis.call('SADD', QUEUES, queue)
    redis.call('HSET', STATE, 'settings', settings, 'breaker', 'closed 0 0 0 0',
      'counts', '1 0 0 0 0 0 0 0 - 0 ' .. string.format('%d', now))
    return {1, ''}
  end
  if s.settings == settings then return {s.version, ''} end
  local replaced = s.settings
  s.settings, s.version = settings, s.version + 1
  offer_all()
  write_state()
  return {s.version, replaced}
end
