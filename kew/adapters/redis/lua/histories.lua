-- flags: no-writes
-- What happened in several queues in the last `step_count` minutes ('m') or hours ('h').
-- KEYS: state line1 line2 line3 waiting1 waiting2 waiting3 *
-- ARGV: step_unit step_count:int
-- Reply: {what `history` replies, ...}, one for each queue whose keys are given
-- include: moves

local operation = (function()
  local KEYS_OF_ONE = 7

  local function history_of_one()
    begin_moves()
    if not s then return {now} end
    local waiting = count_waiting()
    return {now, waiting, history.read(s, now, step_unit, step_count, waiting)}
  end

  return function()
    local replies = {}
    for n = 1, #ALL_KEYS, KEYS_OF_ONE do
      STATE, LINE1, LINE2, LINE3, WAITING1, WAITING2, WAITING3 = unpack(ALL_KEYS, n, n + KEYS_OF_ONE - 1)
      replies[#replies + 1] = history_of_one()
    end
    return replies
  end
end)()
