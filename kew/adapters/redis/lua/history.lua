-- flags: no-writes
-- What happened in the last `step_count` minutes ('m') or hours ('h'), the present one included: kew.domain.history.
-- KEYS: state line1 line2 line3 waiting1 waiting2 waiting3
-- ARGV: step_unit step_count:int
-- Reply: {now} if there is no such queue, else {now, how many tasks wait, {number since 1970, what happened, ...}}
-- include: moves

local function operation()
  begin_moves()
  if not s then return {now} end
  local waiting = count_waiting()
  return {now, waiting, history.read(s, now, step_unit, step_count, waiting)}
end
