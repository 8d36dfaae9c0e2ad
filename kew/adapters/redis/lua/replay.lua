#!lua
-- Put a failed or cancelled task back: kew.domain.queue.replay.
-- KEYS: tasks state waiting1 waiting2 waiting3 leases ended parked idle
-- ARGV: channel queue id ticket
-- Reply: {word, now}
-- include: moves
local function replay(t)
  if not t or is_absent(t) or t.queue ~= queue or (ticket ~= '' and t.ticket ~= ticket) then return 'missing' end
  if t.status == 'c' then return 'illegal' end
  if t.expires_at == 0 then return 'same' end
  t.status, t.ready_at, t.failures, t.losses = 'q', now, 0, 0
  t.cancel, t.ended_at, t.expires_at = '0', 0, 0
  unindex(ENDED, t.id)
  enqueue(t)
  put(t)
  return 'done'
end

if not s then return {'missing', now} end
local word = replay(fetch({id})[1])
flush()
if word == 'done' then offer_waiting(1, '') end
write_state()
return {word, now}
