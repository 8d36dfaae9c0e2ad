-- Positions in a sorted set, so that a list goes on where it was, whatever has come and gone.

local positions = {}

-- Redis has members of one score in the order of their bytes; Lua's `<` goes by the server's locale.
function positions.precedes(a, b)
  for n = 1, math.min(#a, #b) do
    local one, other = string.byte(a, n), string.byte(b, n)
    if one ~= other then return one < other end
  end
  return #a < #b
end

-- How many entries stand before that place, whose own entry may have gone (no score: all of them): halving finds it among
-- those of one score.
function positions.count_before(key, score, member)
  if score == '' then return redis.call('ZCARD', key) end
  local low = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local high = redis.call('ZCOUNT', key, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if positions.precedes(redis.call('ZRANGE', key, middle, middle)[1], member) then low = middle + 1 else high = middle end
  end
  return low
end
