-- flags: no-writes
-- Those of these entries of `leases` that are tasks under a current lease.
-- KEYS: tasks state leases
-- ARGV: members*
-- Reply: {id, lease_until, record without payload, ...}
-- include: record

local function operation()
  begin_state()
  local ids, reply = {}, {}
  for n = members_from, #ARGV do ids[#ids + 1] = id_of(ARGV[n]) end
  for n, t in ipairs(fetch(ids)) do
    local lease_until = t and t.status == 'p' and redis.call('ZSCORE', LEASES, ARGV[members_from + n - 1])
    if lease_until then
      reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = t.id, lease_until, extra.packed_without_payload(t)
    end
  end
  return reply
end
