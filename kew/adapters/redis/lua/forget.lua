-- flags: allow-oom
-- Remove the records of ended tasks, each in the life that is named: kew.domain.task_commands.forget.
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 ended unreadable
-- ARGV: queue refs*
--   refs: per task: id; ticket; replays
-- Reply: {now, word, ...}
-- include: forgetting

local function forget_one(t, ticket, replays)
  if not t or is_absent(t) or t.queue ~= queue or t.ticket ~= ticket then return 'missing' end
  if t.replays ~= replays then return 'same' end
  if not has_ended(t) then return 'illegal' end
  dead.forget(t)
  return 'done'
end

local function operation()
  begin_moves()
  local ids, words, seen = {}, {now}, {}
  for n = refs_from, #ARGV, 3 do ids[#ids + 1] = ARGV[n] end
  local tasks = s and fetch(ids) or {}
  for n, id in ipairs(ids) do
    local at = refs_from + 3 * (n - 1)
    words[n + 1] = seen[id] and 'missing' or forget_one(tasks[n], ARGV[at + 1], ARGV[at + 2])
    seen[id] = seen[id] or words[n + 1] == 'done'
  end
  if s then dead.flush_forgotten() end
  return words
end
