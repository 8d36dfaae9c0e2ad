-- Take back what is held under ended leases, earliest first, at most `limit`: kew.domain.queue.recover.
-- include: moves
local function lose(t)
  return_probe(tonumber(t.epoch))
  if t.cancel == '1' then return finish(t, 'x') end
  if is_at_most_once(t) then
    set_outcome(t, 'attempt ' .. t.attempt .. ' was interrupted, and at_most_once forbids another')
    return finish(t, 'f')
  end
  t.losses = t.losses + 1
  if t.losses > setting('max_deliveries') then
    set_outcome(t, 'its worker was lost ' .. t.losses
      .. ' times (max_deliveries), so it is not given to another')
    return finish(t, 'f')
  end
  wait_again(t, 'w', ready_at(t))
end

local function recover(limit)
  local members = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, limit)
  if #members == 0 then return 0 end
  local ids = {}
  for n, member in ipairs(members) do ids[n] = id_of(member) end
  for n, t in ipairs(fetch(ids)) do
    if t and t.status == 'p' and member_of(t) == members[n] then lose(t) else unindex(LEASES, members[n]) end
  end
  flush()
  return #members
end
