-- flags:
-- Put a failed or cancelled task back: kew.domain.queue.replay.
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle
-- ARGV: channel queue id ticket replays
-- Reply: {word, now}
-- include: moves

local function replay(t)
  if not t or is_absent(t) or t.queue ~= queue or (ticket ~= '' and t.ticket ~= ticket) then return 'missing' end
  if replays ~= '' and t.replays ~= replays then return 'same' end
  if t.status == 'c' then return 'illegal' end
  if not has_ended(t) then return 'same' end
  t.status, t.offset, t.failures, t.losses = 'w', int(now - t.queued_at), '0', '0'
  t.replays = int(t.replays + 1)
  t.cancel, t.ended_at, t.expires_at = '0', '0', '0'
  unindex(ENDED, t.id)
  enqueue(t, now)
  put(t)
  return 'done'
end

local function operation()
  begin_moves()
  if not s then return {'missing', now} end
  local word = replay(fetch({id})[1])
  flush()
  if word == 'done' then offer_waiting(1, '') end
  write_state()
  return {word, now}
end
