-- flags: allow-oom
-- Prolong live leases to `lease_ms` from now; never revive an ended one. What their tasks report is kept.
-- KEYS: tasks state leases
-- ARGV: queue lease_ms:int refs*
--   refs: per lease: id; lease; how far it has come, as 'number.parts.message', or ''
-- Reply: {now, word, ...}: done, cancel (live, and the task is to stop) or stale
-- include: record

local function extend(t, lease, ends)
  if not t or t.lease ~= lease or t.queue ~= queue then return 'stale' end
  local lease_until = redis.call('ZSCORE', LEASES, member_of(t))
  if not lease_until or tonumber(lease_until) <= now then return 'stale' end
  ends[#ends + 1], ends[#ends + 2] = now + lease_ms, member_of(t)
  return t.cancel == '1' and 'cancel' or 'done'
end

local function operation()
  begin_state()
  local words, ends, ids, reported, written = {now}, {}, {}, {}, {}
  for n = refs_from, #ARGV, 3 do ids[#ids + 1] = ARGV[n] end
  for n, t in ipairs(s and fetch(ids) or {}) do
    local at = refs_from + 3 * (n - 1)
    local report = ARGV[at + 2]
    words[n + 1] = extend(t, ARGV[at + 1], ends)
    if report ~= '' and words[n + 1] ~= 'stale' then
      reported[t.id] = reported[t.id] or t -- one that was fetched twice is one table from here on
      t = reported[t.id]
      if extra.report(t, report, NOW) then written[#written + 1], written[#written + 2] = t.id, packed(t) end
    end
  end
  if not s then for n = 1, #ids do words[n + 1] = 'stale' end end
  send('HSET', TASKS, written)
  send('ZADD', LEASES, ends)
  if #ends > 0 and (now + lease_ms < s.wake_at or lease_ms > s.longest) then -- seldom: leases of another length
    s.longest = math.max(s.longest, lease_ms)
    wake(now + lease_ms)
    write_state()
  elseif s then
    write_state(true)
  end
  return words
end
