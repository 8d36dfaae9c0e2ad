-- Entries of the indexes of dead letters, which are hints: what a process of an older version replays leaves one.
-- Needs TASKS, queue.
-- include: dead

-- The record of an entry, parsed; nil if it isn't that of a dead letter.
function dead.letter(member, score)
  local id = id_of(member)
  local raw = redis.call('HGET', TASKS, id)
  if not raw or not string.find(raw, '^%d*f ') then return nil end
  local t = parse(id, raw)
  local is_ours = t and t.queue == queue and member_of(t) == member
  return is_ours and t.expires_at == score and not is_absent(t) and t or nil
end
