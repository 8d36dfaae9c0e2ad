-- The store's clock in milliseconds, read once by every operation. A test swaps this file for one that reads a key.
local function clock_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
