-- Overrides: kew.domain.overrides. The settings in force stand under their names. Behind them `overrides=` lists, for each that
-- an operator set, name~value~what the code declares, with ';' between them; '-' is a setting that is left out.
-- They are in one table, since Lua has few variables.
local overrides = (function()
  local OVERRIDE = '([^~;]+)~([^~;]+)~([^~;]+)'
  -- The format that a process must know to obey an override (an older one claims nothing then): from kew.domain.config.
  local FORMATS = {OVERRIDE_FORMATS}

  local function list_in(text)
    return string.match(text, ' overrides=(%S+)') or ''
  end

  -- The value by which a setting is overridden; nil: it isn't.
  local function value_of(text, name)
    return string.match(';' .. list_in(text), ';' .. name .. '~([^~;]+)')
  end

  -- Who set each of them, and when, by field: override.lua.
  local function signatures(text)
    local flat = {}
    for name in string.gmatch(list_in(text), OVERRIDE) do
      local field = 'set:' .. name
      local signature = redis.call('HGET', STATE, field)
      if signature then flat[#flat + 1], flat[#flat + 2] = field, signature end
    end
    return flat
  end

  -- The settings with this value of one of them.
  local function with(text, name, value)
    local padded, field = ' ' .. text, value == '-' and '' or ' ' .. name .. '=' .. value
    local first, last = string.find(padded, ' ' .. name .. '=%S+')
    padded = first and string.sub(padded, 1, first - 1) .. field .. string.sub(padded, last + 1) or padded .. field
    return string.sub(padded, 2)
  end

  -- The settings as the code declares them; the list of overrides stays.
  local function declared_by_code(text)
    for name, _, declared in string.gmatch(list_in(text), OVERRIDE) do text = with(text, name, declared) end
    return text
  end

  -- The settings in force: these are declared, and what they list is overridden.
  local function in_force(text)
    local entries = {}
    for name, value in string.gmatch(list_in(text), OVERRIDE) do
      local declared = string.match(' ' .. text, ' ' .. name .. '=(%S+)') or '-'
      if name == 'format' and declared ~= '-' and declared > value then value = declared end -- the newer one knows both
      entries[#entries + 1] = name .. '~' .. value .. '~' .. declared
      text = with(text, name, value)
    end
    return #entries > 0 and with(text, 'overrides', table.concat(entries, ';')) or text
  end

  -- Whether a process of an older version declared the queue, and so put its own values in the place of overrides.
  local function is_overruled(text)
    for name, value in string.gmatch(list_in(text), OVERRIDE) do
      if (string.match(' ' .. text, ' ' .. name .. '=(%S+)') or '-') ~= value then return true end
    end
    return false
  end

  -- Set or replace overrides: 'name~value;...'; the value '!' removes one.
  local function changed(text, wanted)
    local order, values, is_same = {}, {}, true
    for name, value in string.gmatch(list_in(text), OVERRIDE) do
      if name ~= 'format' then order[#order + 1], values[name] = name, value end
    end
    for name, value in string.gmatch(wanted, '([^~;]+)~([^~;]+)') do
      is_same = is_same and value == (values[name] or '!')
      if not values[name] then order[#order + 1] = name end
      values[name] = value
    end
    if is_same then return text end
    local list, format = {}, ''
    for _, name in ipairs(order) do
      local value = values[name]
      if value ~= '!' then
        list[#list + 1] = name .. '~' .. value .. '~-'
        if value ~= '-' and (FORMATS[name] or '') > format then format = FORMATS[name] end
      end
    end
    text = declared_by_code(text)
    if format > (string.match(text, ' format=(%d+)') or '') then list[#list + 1] = 'format~' .. format .. '~-' end
    return in_force(with(text, 'overrides', #list > 0 and table.concat(list, ';') or '-'))
  end

  return {list_in = list_in, with = with, declared_by_code = declared_by_code, in_force = in_force, is_overruled = is_overruled,
    changed = changed, value_of = value_of, signatures = signatures}
end)()
