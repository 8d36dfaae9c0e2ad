-- flags: allow-oom
-- Prolong live leases to `lease_ms` from now; never revive an ended one.
-- KEYS: tasks state leases
-- ARGV: queue lease_ms:int refs*
--   refs: per lease: id; lease
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
  local words, ends, ids = {now}, {}, {}
  for n = refs_from, #ARGV, 2 do ids[#ids + 1] = ARGV[n] end
  for n, t in ipairs(s and fetch(ids) or {}) do words[n + 1] = extend(t, ARGV[refs_from + 2 * n - 1], ends) end
  if not s then for n = 1, #ids do words[n + 1] = 'stale' end end
  send('ZADD', LEASES, ends)
  if #ends > 0 and (now + lease_ms < s.wake_at or lease_ms > s.longest) then -- seldom: leases of another length
    s.longest = math.max(s.longest, lease_ms)
    wake(now + lease_ms)
    write_state()
  end
  return words
end
