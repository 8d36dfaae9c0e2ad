-- flags: no-writes
-- The queue at this moment.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases parked workers functions unreadable
-- ARGV:
-- Reply: {now, settings, version, paused, breaker, ticket, token, held, {waiting by priority},
--   {processes that serve it}, {function or '@process', count, ... that wait and that none of these can run}, edition,
--   length of the longest lease, how many can't be read, how many wait for a process of a newer version,
--   {gate, what it remembers, ...}, {failures that the breaker counted, by slot}, since
--   when the task has been due that has been due for longest, what happened in the last minutes as in history.lua,
--   how many dead letters there are, {{key, how many tasks of it run, ...}, {key, since when one has been due, ...}}}
-- include: looking

local function operation()
  return queue_status()
end
