-- Commands over lists of any length, in pieces that Lua can unpack.
local PIECE = 4000

-- A flat list with two more entries; nil: it is empty so far. (A table made in one piece costs half of one that grows.)
local function add_pair(list, first, second)
  if not list then return {first, second} end
  local n = #list
  list[n + 1], list[n + 2] = first, second
  return list
end

local function send(command, key, list)
  if #list == 1 then return redis.call(command, key, list[1]) end
  for first = 1, #list, PIECE do
    redis.call(command, key, unpack(list, first, math.min(first + PIECE - 1, #list)))
  end
end
