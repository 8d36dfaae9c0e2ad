-- flags: no-writes
-- The failed attempts of tasks, oldest first.
-- KEYS: state
-- ARGV: members*
--   members: ticket in 12 digits and id of each
-- Reply: {attempt, ...} for each
-- include: dead

local function operation()
  local reply = {}
  for n = members_from, #ARGV do reply[#reply + 1] = dead.attempts(ARGV[n]) end
  return reply
end
