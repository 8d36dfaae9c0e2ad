-- The extras of a record: what few tasks have, as `name=value` pairs at the end of its line, with commas. A value that is the
-- default isn't written. kew/adapters/redis/extras.py says more, and writes those of a new task.

-- `progress` is 'attempt.number.parts.at.message': kew.domain.task.Progress. `checkpoint` is 'attempt.number.bytes': Checkpoint.

local extra = {
  MOST_DIGITS = 15,
  LONE_KEY = '^key=([^=,]+)$', -- most tasks that have extras have this one alone
  LAST = {'snoozes', 'progress', 'checkpoint'}, -- what happens to a task stands behind what it was submitted with, in this order
}

-- Whether they can be read; and whether that is since a newer version wrote one of a name that this library doesn't know.
function extra.check(text)
  if string.find(text, '^key=[^=,]+$') or string.find(text, '^unique=[sfl][jrp]:[^=,]+$') then return true, false end
  local sound, is_newer = true, false
  for pair in string.gmatch(text .. ',', '([^,]*),') do
    local name, value = string.match(pair, '^([%w_]+)=([^=]+)$')
    if not name then return false, false end
    if name == 'cost' or name == 'start_by' or name == 'snoozes' then
      sound = sound and #value <= extra.MOST_DIGITS and not string.find(value, '%D')
    elseif name == 'progress' then
      local attempt, number, parts, at = string.match(value, '^(%d+)%.(%d+)%.(%d+)%.(%d+)%.')
      sound = sound and attempt and math.max(#attempt, #number, #parts, #at) <= extra.MOST_DIGITS
    elseif name == 'checkpoint' then
      local attempt, number, bytes = string.match(value, '^(%d+)%.(%d+)%.(%d+)$')
      sound = sound and attempt and math.max(#attempt, #number, #bytes) <= extra.MOST_DIGITS
    elseif name == 'unique' then
      sound = sound and extra.unique_parts(value) ~= nil
    elseif name ~= 'key' and name ~= 'trace' then
      is_newer = true
    end
  end
  return sound and not is_newer or false, is_newer
end

-- How long a unique key is held, what a submit does that meets its holder, at_most_ms, and the key; nil: it is damaged.
function extra.unique_parts(text)
  local till, conflict, at_most, key = string.match(text, '^([sfl])([jrp])(%d*):(.+)$')
  if not till then till, conflict, at_most, key = string.match(text, '^(%d+)([jrp])(%d*):(.+)$') end
  if not till or #till > extra.MOST_DIGITS or #at_most > extra.MOST_DIGITS then return nil end
  return till, conflict, at_most, key
end

-- The key, if it is all there is; false: it isn't.
function extra.lone_key(text)
  return string.match(text, extra.LONE_KEY) or false
end

-- These are the extras of a task from now on; `more`: them, if there is something besides a key. (keyed.of finds the key again.)
function extra.give(t, text)
  t.extras = text ~= '' and text or false
  t.more, t.key = t.extras and not extra.lone_key(text) and text or false, false
end

-- One of `LAST`; nil: it has no value.
function extra.set(t, name, value)
  local text, found = t.extras and ',' .. t.extras or '', {}
  for _, each in ipairs(extra.LAST) do
    found[each] = string.match(text, ',' .. each .. '=([^,]*)')
    if found[each] then text = string.gsub(text, ',' .. each .. '=[^,]*', '') end
  end
  found[name] = value
  for _, each in ipairs(extra.LAST) do
    if found[each] then text = text .. ',' .. each .. '=' .. found[each] end
  end
  extra.give(t, string.sub(text, 2))
end

-- The task came back later once more.
function extra.count_snooze(t)
  local before = t.extras and tonumber(string.match(',' .. t.extras, ',snoozes=(%d+)')) or 0
  extra.set(t, 'snoozes', string.format('%d', before + 1))
end

-- It is as if it had never done so.
function extra.forget_snoozes(t)
  if t.extras then extra.set(t, 'snoozes', nil) end
end

-- An attempt reports how far it has come, as 'number.parts.message': kew.domain.progress.progress_after. True: that is news.
function extra.report(t, report, now)
  local number, parts, message = string.match(report, '^(%d+)%.(%d+)%.(.*)$')
  local attempt, last = string.match(',' .. (t.extras or ''), ',progress=(%d+)%.(%d+)%.')
  if attempt and (tonumber(attempt) > tonumber(t.attempt)
    or tonumber(attempt) == tonumber(t.attempt) and tonumber(last) >= tonumber(number)) then
    return false
  end
  extra.set(t, 'progress', table.concat({t.attempt, number, parts, now, message}, '.'))
  return true
end

-- An attempt saves a checkpoint of so many bytes. False: this one or a later one of the attempt is there.
function extra.checkpoint(t, number, bytes)
  local attempt, last = string.match(',' .. (t.extras or ''), ',checkpoint=(%d+)%.(%d+)%.')
  if attempt and tonumber(attempt) == tonumber(t.attempt) and tonumber(last) >= number then return false end
  extra.set(t, 'checkpoint', string.format('%s.%d.%d', t.attempt, number, bytes))
  return true
end

-- Of its checkpoint; 0: it has none.
function extra.checkpoint_bytes(t)
  return tonumber(string.match(t.extras, 'checkpoint=%d+%.%d+%.(%d+)')) or 0
end

-- Whether it had one.
function extra.forget_checkpoint(t)
  if not string.find(',' .. t.extras, ',checkpoint=', 1, true) then return false end
  extra.set(t, 'checkpoint', nil)
  return true
end

-- It has completed.
function extra.forget_progress(t)
  if string.find(t.extras, 'progress=', 1, true) then extra.set(t, 'progress', nil) end
end

-- What its start takes of a rate.
function extra.cost_in(text)
  return text and tonumber(string.match(',' .. text, ',cost=(%d+)')) or 1
end
