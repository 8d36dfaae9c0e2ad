-- flags: allow-oom
-- Put values in force in place of what the code declares, or remove such overrides, and notify the processes that serve the
-- queue: kew.domain.commands.override.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases idle workers parked functions
-- ARGV: channel queue changes edition by told_limit:int
-- Reply: {word, now}
-- include: waking

-- The field 'set:<setting>' of STATE: when and by whom it was set, behind it the value for which that holds.
local function sign()
  for name, value in string.gmatch(changes, '([^~;]+)~([^~;]+)') do
    if value == '!' then
      redis.call('HDEL', STATE, 'set:' .. name)
    elseif value ~= overrides.value_of(s.settings, name) then
      redis.call('HSET', STATE, 'set:' .. name, NOW .. ' ' .. value .. ' ' .. by)
    end
  end
end

local function operation()
  begin_moves()
  if not s then return {'no_queue', now} end
  if setting('max_size') == 0 then changes = string.gsub(changes, 'max_size~[^;]*', '') end -- it drains
  local wanted = overrides.changed(s.settings, changes)
  if wanted == s.settings then return {'same', now} end
  sign()
  s.settings, s.version, s.edition = wanted, s.version + 1, edition
  s.format = format_of(wanted)
  local present = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf', 'LIMIT', 0, told_limit)
  for _, process in ipairs(present) do notify(process, 's ' .. queue) end
  offer_all()
  write_state()
  return {'done', now}
end
