-- flags: allow-oom
-- Create a queue or make these its settings: the latest declaration wins, an equal one changes nothing. With `replaces` 0,
-- only create it.
-- KEYS: queues tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases idle parked functions
-- ARGV: channel queue declared_settings edition replaces:int
-- Reply: {the edition in force, the settings replaced or '', those in force or '' (as declared)}; no edition: the queue is being
--   purged
-- include: waking

-- A setting that may be left out is declared as '-' if it is, and not stored.
local function without_absent(declared)
  return (string.gsub(declared, ' [^ =]+=%-', ''))
end

-- What is declared, and settings of newer versions, which this process doesn't know: they stay.
local function merged(declared, stored)
  local values, others, is_same = {}, '', true
  for name, value in string.gmatch(declared, '([^ =]+)=(%S+)') do values[name] = value end
  if format_of(stored) > SETTINGS_FORMAT then values.format = nil end
  for name, value in string.gmatch(stored, '([^ =]+)=(%S+)') do
    if not values[name] then others = others .. ' ' .. name .. '=' .. value end
    is_same = is_same and (values[name] or value) == value
    values[name] = nil
  end
  for _, value in pairs(values) do is_same = is_same and value == '-' end
  if is_same then return stored end
  declared = format_of(stored) > SETTINGS_FORMAT and string.gsub(declared, ' format=%S+', '') or declared
  return without_absent(declared) .. others
end

-- The settings in force if some are overridden.
local function overridden()
  return overrides.list_in(s.settings) ~= '' and s.settings or ''
end

local function operation()
  begin_moves()
  if not s then
    if redis.call('HEXISTS', STATE, 'is_purged') == 1 then return {'', '', ''} end
    redis.call('SADD', QUEUES, queue)
    redis.call('HSET', STATE, 'settings', without_absent(declared_settings), 'breaker', 'closed 0 0 0 0',
      'history', history.NOTHING_YET,
      'counts', '1:' .. edition .. ' 0 0 0 0 0 0 0 - 0 0 ' .. string.format('%d', now))
    return {edition, '', ''}
  end
  local replaced = overrides.declared_by_code(s.settings)
  local wanted = merged(declared_settings, replaced)
  if wanted == replaced or replaces == 0 then return {s.edition, '', overridden()} end
  wanted = overrides.in_force(wanted)
  s.settings, s.version, s.edition = wanted, s.version + 1, edition
  s.format = format_of(wanted)
  if s.keyed then keyed.reopen() end
  offer_all()
  write_state()
  return {s.edition, overrides.with(replaced, 'overrides', '-'), overridden()}
end
