-- A task starts only in a process that can run its function; elsewhere it is parked: kew.domain.gates.functions. The reason
-- f:<function> is kept under the bare name of the function, and that of closures as '@process', since stored queues have
-- them so. A reason of another kind begins with a percent sign and its letter: no stored name does.
-- Needs incarnation, FUNCTIONS.
-- include: gate
local known_here -- functions, by name: whether this process can run them; nil: none was looked up

local function begin_functions()
  known_here = nil
end

local function is_pinned(fn)
  return string.byte(fn) == 64
end

local function reason_of(fn)
  return is_pinned(fn) and string.match(fn, '^@[^/]*') or fn
end

local function can_run(fn)
  if is_pinned(fn) then return reason_of(fn) == '@' .. incarnation end
  known_here = known_here or {}
  if known_here[fn] == nil then
    known_here[fn] = redis.call('SISMEMBER', FUNCTIONS .. ':' .. incarnation, fn) == 1
  end
  return known_here[fn]
end

-- Those of these functions that a process knows; its own closures are '@process'.
local function known_of(process, functions)
  local known, own = {}, '@' .. process
  for n, is_known in ipairs(redis.call('SMISMEMBER', FUNCTIONS .. ':' .. process, unpack(functions))) do
    if is_known == 1 or functions[n] == own then known[#known + 1] = functions[n] end
  end
  return known
end

local function functions_parks(fn)
  if can_run(fn) then return nil end
  return reason_of(fn)
end

register({parks = functions_parks})
