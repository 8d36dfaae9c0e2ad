-- Commands over lists of any length, in pieces that Lua can unpack.
local PIECE = 4000

local function send(command, key, list)
  for first = 1, #list, PIECE do
    redis.call(command, key, unpack(list, first, math.min(first + PIECE - 1, #list)))
  end
end
