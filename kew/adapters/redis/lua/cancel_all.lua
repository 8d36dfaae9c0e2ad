-- flags: allow-oom
-- Cancel tasks that wait, each in the life that is named: kew.domain.task_commands.cancel_waiting.
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked unreadable
-- ARGV: channel queue refs*
--   refs: per task: id; ticket; replays
-- Reply: {now, word, ...}
-- include: moves

local operation = (function()
  local MOST_REMOVED, VOID_AT_ONCE = 1000, 1000 -- in a line of no more; of one that is longer
  local left_line -- by priority: entries of a line that mean nothing any more

  local function cancel(t, ticket, replays)
    if not t or is_absent(t) or t.queue ~= queue or t.ticket ~= ticket then return 'missing' end
    if t.replays ~= replays then return 'ended' end
    if has_ended(t) then return t.status == 'x' and 'same' or 'ended' end
    if t.status == 'p' then return 'illegal' end
    if t.status == 'q' then
      count(priority_of(t), -1)
      append(left_line, priority_of(t), member_of(t))
    else
      dequeue(t)
    end
    finish(t, 'x')
    return 'done'
  end

  -- Remove these entries if that is cheap, else what means nothing at the beginning of the line, a bounded number.
  local function shorten(priority, gone)
    if s.waiting[priority] == 0 then return redis.call('DEL', LINE[priority]) end
    if redis.call('LLEN', LINE[priority]) <= MOST_REMOVED then
      for _, entry in ipairs(gone) do redis.call('LREM', LINE[priority], 1, entry) end
      return
    end
    local members, ids, void = redis.call('LRANGE', LINE[priority], 0, VOID_AT_ONCE - 1), {}, 0
    for n, member in ipairs(members) do ids[n] = id_of(member) end
    for n, raw in ipairs(fetch_raw(ids)) do
      if not raw or string.byte(raw) ~= 120 and not string.find(raw, '^%dx ') then break end
      void = n
    end
    if void > 0 then redis.call('LTRIM', LINE[priority], void, -1) end
  end

  local function operation()
    begin_moves()
    local ids, words, seen = {}, {now}, {}
    left_line = {}
    for n = refs_from, #ARGV, 3 do ids[#ids + 1] = ARGV[n] end
    for n, t in ipairs(s and fetch(ids) or {}) do seen[ids[n]] = seen[ids[n]] or t end
    for n = 1, #ids do
      local at = refs_from + 3 * (n - 1)
      words[n + 1] = cancel(seen[ids[n]], ARGV[at + 1], ARGV[at + 2])
    end
    if not s then return words end
    flush()
    for priority, gone in pairs(left_line) do shorten(priority, gone) end
    write_state()
    return words
  end

  return operation
end)()
