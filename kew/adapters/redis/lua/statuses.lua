-- flags: no-writes
-- Several queues at this moment.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases parked workers functions unreadable *
-- ARGV:
-- Reply: {what `status` replies, ...}, one for each queue whose keys are given
-- include: looking
local KEYS_OF_ONE = 13

local function operation()
  local replies = {}
  for n = 1, #ALL_KEYS, KEYS_OF_ONE do
    TASKS, STATE, LINE1, LINE2, LINE3, WAITING1, WAITING2, WAITING3, LEASES, PARKED, WORKERS, FUNCTIONS, UNREADABLE =
      unpack(ALL_KEYS, n, n + KEYS_OF_ONE - 1)
    replies[#replies + 1] = queue_status()
  end
  return replies
end
