-- flags: no-writes
-- A page of dead letters, those first whose records end last. It looks at `limit` entries of their index at most, backwards,
-- before the one with `before_end` and `before_entry` (both empty: from the last one on). `in_group`: only those of one; '': all.
-- Payloads are left out.
-- KEYS: tasks state
-- ARGV: queue in_group before_end before_entry limit:int
-- Reply: {now} if the queue doesn't exist, else {now, {expires_at, member} of the last entry looked at or false if there are
--   no more, {id, record, last attempt or false, ...}}
-- include: letter
-- include: place

local function operation()
  begin_state()
  if not s then return {now} end
  local key, found = dead.key(in_group == '' and 'dead' or 'dead:' .. in_group), {}
  local before = positions.count_before(key, before_end, before_entry)
  local entries = before == 0 and {}
    or redis.call('ZRANGE', key, math.max(0, before - limit), before - 1, 'WITHSCORES')
  for n = #entries - 1, 1, -2 do
    local t = dead.letter(entries[n], entries[n + 1])
    if t then
      found[#found + 1], found[#found + 2] = t.id, extra.packed_without_payload(t)
      found[#found + 1] = dead.last_attempt(entries[n])
    end
  end
  local has_more = before > limit and tonumber(entries[2]) > now -- what stands before an absent one is absent too
  return {now, has_more and {entries[2], entries[1]} or false, found}
end
