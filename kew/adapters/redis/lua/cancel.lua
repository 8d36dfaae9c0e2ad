-- flags: allow-oom
-- Cancel a waiting task, or ask the holder of a running one to stop: kew.domain.task_commands.cancel.
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked unreadable
-- ARGV: channel queue id ticket replays
-- Reply: {word, now}
-- include: moves

local function cancel(t)
  if not t or is_absent(t) or t.queue ~= queue or (ticket ~= '' and t.ticket ~= ticket) then return 'missing' end
  if replays ~= '' and t.replays ~= replays then return 'ended' end
  if has_ended(t) then return t.status == 'x' and 'same' or 'ended' end
  if t.status == 'p' then
    t.cancel = '1'
    put(t)
    notify(string.match(t.lease, '^[^.]*'), 'c ' .. queue .. ' ' .. id)
    return 'cancel'
  end
  dequeue(t)
  finish(t, 'x')
  return 'done'
end

local function operation()
  begin_moves()
  if not s then return {'missing', now} end
  local word = cancel(fetch({id})[1])
  flush()
  write_state()
  return {word, now}
end
