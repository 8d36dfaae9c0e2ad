-- Tasks that were set aside under a reason, in a sorted set per priority and reason. PARKED lists the reasons. `s.parked`
-- counts the tasks.
-- Needs PARKED, FUNCTIONS, incarnation.
-- include: gates
local function parked_key(priority, reason)
  return PARKED .. ':' .. priority .. ':' .. reason
end

local function forget_if_empty(reason)
  if redis.call('EXISTS', parked_key(1, reason), parked_key(2, reason), parked_key(3, reason)) == 0 then
    redis.call('SREM', PARKED, reason)
  end
end

local function is_of_a_version(reason)
  return string.byte(reason) == 63
end

-- The reasons that don't hold in this process, and those of its record versions ('?3').
local function open_reasons()
  if s.parked == 0 then return {}, {} end
  local found, versions, own = {}, {}, '@' .. incarnation
  for _, reason in ipairs(redis.call('SINTER', FUNCTIONS .. ':' .. incarnation, PARKED)) do
    local list = is_of_a_version(reason) and versions or found
    list[#list + 1] = reason
  end
  if redis.call('SISMEMBER', PARKED, own) == 1 then found[#found + 1] = own end
  return found, versions
end
