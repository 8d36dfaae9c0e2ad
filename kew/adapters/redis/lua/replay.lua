-- flags:
-- Make failed or cancelled tasks wait again: kew.domain.task_commands.replay. The first is due after `first_ms`, each of the
-- others `every_ms` after the one before.
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle functions unreadable
-- ARGV: channel queue first_ms:int every_ms:int new_key new_payload refs*
--   refs: per task: id; ticket; replays (both empty: in any life)
--   new_key, new_payload: in place of the task's own: '' for neither, '=' for the payload alone, else '=', the key and a comma
-- Reply: {now, word, ...}
-- include: waking
-- include: unique

local function change_arguments(t, payload)
  extra.change_payload(t, payload)
  if new_key == '=' then return end
  local key, others = string.sub(new_key, 2, -2), string.gsub(string.gsub(t.extras or '', '^key=[^,]*', ''), '^,', '')
  if key ~= '' then others = 'key=' .. key .. (others == '' and '' or ',' .. others) end
  extra.give(t, others)
end

local function replay(t, ticket, replays, after_ms)
  if not t or is_absent(t) or t.queue ~= queue or (ticket ~= '' and t.ticket ~= ticket) then return 'missing' end
  if replays ~= '' and t.replays ~= replays then return 'same' end
  if t.status == 'c' then return 'illegal' end
  if not has_ended(t) then return 'same' end
  if setting('max_size') == 0 then return 'draining' end
  if t.extras and not extra.unique.retake(t) then return 'held' end
  if t.status == 'f' then dead.unbury(t) end
  if new_key ~= '' then change_arguments(t, new_payload) end
  unindex(ENDED, t.id)
  t.status, t.offset, t.failures, t.losses = 'w', int(now + after_ms - t.queued_at), '0', '0'
  t.replays = int(t.replays + 1)
  extra.forget_snoozes(t)
  t.cancel, t.ended_at, t.expires_at = '0', '0', '0'
  enqueue(t, now + after_ms)
  put(t)
  return 'done'
end

local function operation()
  begin_moves()
  local ids, words, tasks, done = {}, {now}, {}, 0
  for n = refs_from, #ARGV, 3 do ids[#ids + 1] = ARGV[n] end
  for n, t in ipairs(s and fetch(ids) or {}) do tasks[ids[n]] = tasks[ids[n]] or t end
  for n = 1, #ids do
    local at = refs_from + 3 * (n - 1)
    local t = tasks[ids[n]]
    words[n + 1] = replay(t, ARGV[at + 1], ARGV[at + 2], first_ms + (n - 1) * every_ms)
    if words[n + 1] == 'done' then done = done + 1 end
  end
  if not s then return words end
  flush()
  if done > 0 and first_ms == 0 then offer_waiting(done, '') elseif done > 0 then offer_all() end
  write_state()
  return words
end
