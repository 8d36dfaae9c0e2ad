-- flags: no-writes
-- The tasks under a current lease.
-- KEYS: tasks state leases
-- ARGV:
-- Reply: {id, lease_until, record, ...}
-- include: record

local function operation()
  begin_state()
  local held, ids, reply = redis.call('ZRANGE', LEASES, 0, -1, 'WITHSCORES'), {}, {}
  for n = 1, #held, 2 do ids[#ids + 1] = id_of(held[n]) end
  for n, t in ipairs(fetch(ids)) do
    if t then
      reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = t.id, held[2 * n], packed(t)
    end
  end
  return reply
end
