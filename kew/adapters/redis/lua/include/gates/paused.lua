-- A paused queue starts nothing: kew.domain.gates.paused.
-- include: gate
local function paused_room()
  return s.paused and 0 or nil
end

register({room = paused_room})
