-- The extras of a record: what few tasks have, as `name=value` pairs at the end of its line, with commas. A value that is the
-- default isn't written. kew/adapters/redis/extras.py says more, and writes those of a new task.

local extra = {MOST_DIGITS = 15}

-- Whether they can be read; and whether that is since a newer version wrote one of a name that this library doesn't know.
function extra.check(text)
  if string.find(text, '^key=[^=,]+$') then return true, false end
  local sound, is_newer = true, false
  for pair in string.gmatch(text .. ',', '([^,]*),') do
    local name, value = string.match(pair, '^([%w_]+)=([^=]+)$')
    if not name then return false, false end
    if name == 'cost' or name == 'start_by' or name == 'snoozes' then
      sound = sound and #value <= extra.MOST_DIGITS and not string.find(value, '%D')
    elseif name ~= 'key' and name ~= 'trace' then
      is_newer = true
    end
  end
  return sound and not is_newer, is_newer
end

local function set_snoozes(t, number)
  local text = t.extras and string.gsub(',' .. t.extras, ',snoozes=%d+', '') or ''
  if number > 0 then text = text .. string.format(',snoozes=%d', number) end
  t.extras = text ~= '' and string.sub(text, 2) or false
end

-- The task came back later once more.
function extra.count_snooze(t)
  set_snoozes(t, (t.extras and tonumber(string.match(',' .. t.extras, ',snoozes=(%d+)')) or 0) + 1)
end

-- It is as if it had never done so.
function extra.forget_snoozes(t)
  if t.extras then set_snoozes(t, 0) end
end

-- What its start takes of a rate.
function extra.cost_in(text)
  return text and tonumber(string.match(',' .. text, ',cost=(%d+)')) or 1
end
