-- flags: no-writes
-- A page of dead letters, those first whose records end last. It looks at `limit` entries of `ended` at most, backwards, before
-- the one with `expires_at` and `id` (both empty: from the last one on). Payloads are left out.
-- KEYS: tasks state ended
-- ARGV: queue expires_at id limit:int
-- Reply: {now} where nobody declared the queue, else {now, {expires_at, id} of the last entry looked at or false if there are no
--   more, {id, record, ...}}
-- include: record

-- Redis has members of one score in the order of their bytes; Lua's `<` goes by the server's locale.
local function is_before(a, b)
  for n = 1, math.min(#a, #b) do
    local one, other = string.byte(a, n), string.byte(b, n)
    if one ~= other then return one < other end
  end
  return #a < #b
end

-- How many entries stand before that place, whose own entry may have gone: halving finds it among those of one instant.
local function count_before()
  if expires_at == '' then return redis.call('ZCARD', ENDED) end
  local low = redis.call('ZCOUNT', ENDED, '-inf', '(' .. expires_at)
  local high = redis.call('ZCOUNT', ENDED, '-inf', expires_at)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_before(redis.call('ZRANGE', ENDED, middle, middle)[1], id) then low = middle + 1 else high = middle end
  end
  return low
end

-- The record of an entry, which is a hint; nil where it isn't that of a dead letter of this queue.
local function dead_letter(entry)
  local raw = redis.call('HGET', TASKS, entry)
  if not raw or string.sub(raw, 1, 1) ~= 'f' then return nil end
  local t = parse(entry, raw)
  if not t or t.queue ~= queue or is_absent(t) then return nil end
  set_outcome(t, outcome_of(t), true)
  return packed(t)
end

local function operation()
  begin_state()
  if not s then return {now} end
  local before, found = count_before(), {}
  local entries = before == 0 and {}
    or redis.call('ZRANGE', ENDED, math.max(0, before - limit), before - 1, 'WITHSCORES')
  for n = #entries - 1, 1, -2 do
    local record = dead_letter(entries[n])
    if record then found[#found + 1], found[#found + 2] = entries[n], record end
  end
  local has_more = before > limit and tonumber(entries[2]) > now -- what stands before an absent one is absent too
  return {now, has_more and {entries[2], entries[1]} or false, found}
end
