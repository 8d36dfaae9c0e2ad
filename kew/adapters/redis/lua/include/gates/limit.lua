-- At most max_workers tasks of a queue run at once: kew.domain.gates.limit.
-- include: gate
local function limit_room(held)
  return math.max(0, setting('max_workers') - held)
end

local function limit_opens_at(lease_end)
  return lease_end
end

register({room = limit_room, opens_at = limit_opens_at})
