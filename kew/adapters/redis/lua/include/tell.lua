-- Notifications to processes, each on its own channel: 'w <queue>', 'c <queue> <id>', 'e <id>'.
-- Needs channel, queue, IDLE.
local TRIES = 20

-- Whether anybody heard it. One that can't be sent stops nothing: the slow poll comes behind every notification.
local function tell(process, message)
  local heard = redis.pcall('PUBLISH', channel .. process, message)
  return type(heard) == 'number' and heard > 0
end

-- Wake at most `count` of the processes that wait for work, longest first, but not the one that is answered now.
local function offer(count, claimer)
  for _ = 1, count > 0 and TRIES or 0 do
    local idle = redis.call('ZPOPMIN', IDLE)[1]
    if not idle then return end
    if idle ~= claimer and tell(idle, 'w ' .. queue) then
      count = count - 1
      if count == 0 then return end
    end
  end
end
