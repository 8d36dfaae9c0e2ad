-- flags: allow-oom
-- Let a task that waits for its due time be due now: kew.domain.task_commands.hasten.
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases parked idle functions unreadable
-- ARGV: channel queue id ticket replays
-- Reply: {word, now}
-- include: waking

local operation = (function()
  local function hasten(t)
    if not t or is_absent(t) or t.queue ~= queue or (ticket ~= '' and t.ticket ~= ticket) then return 'missing' end
    if replays ~= '' and t.replays ~= replays or has_ended(t) then return 'ended' end
    if t.status == 'p' or ready_at(t) <= now then return 'same' end
    extra.move_to(t, now)
    put(t)
    return 'done'
  end

  local function operation()
    begin_moves()
    if not s then return {'missing', now} end
    local word = hasten(fetch({id})[1])
    flush()
    if word == 'done' then offer_waiting(1, '') end
    write_state()
    return {word, now}
  end

  return operation
end)()
