-- Notifications to processes, each on its own channel: 'w <queue>', 'c <queue> <id>', 'e <id>', 's <queue>'.
-- Needs channel, queue. The channels of a Cluster's partition begin with its hash tag, and only its own node serves them.
-- include: state

-- Whether a process received it. A notification that can't be sent stops nothing: the slow poll backs up every one.
local function notify(process, message)
  local receivers = redis.pcall(string.byte(channel) == 123 and 'SPUBLISH' or 'PUBLISH', channel .. process, message)
  return type(receivers) == 'number' and receivers > 0
end

-- There may be something to do for it. The submitter, if it takes no claim along, learns that from the reply.
local function notify_of_work(process)
  if process == s.submitter then
    s.has_work = true
    return true
  end
  return notify(process, 'w ' .. queue)
end
