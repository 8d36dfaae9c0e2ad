-- Recover tasks whose leases have ended, earliest first, at most `limit`: kew.domain.queue.recover.
-- include: moves
-- include: unique
local function lose(t)
  history.count(s, history.COUNTED.lost)
  ended('probe', tonumber(t.epoch))
  if t.cancel == '1' then return finish(t, 'x') end
  dead.note(t, 'lost', 'lost', '', '')
  if is_at_most_once(t) then
    set_outcome(t, 'attempt ' .. t.attempt .. ' was interrupted, and at_most_once forbids another; '
      .. 'replay the task if it may run again')
    return finish(t, 'f')
  end
  t.losses = t.losses + 1
  if t.losses > setting('max_deliveries') then
    set_outcome(t, 'its worker was lost ' .. t.losses .. (t.losses == 1 and ' time' or ' times')
      .. ', more often than max_deliveries allows; check whether the task kills its process, then replay it')
    return finish(t, 'f')
  end
  wait_again(t, 'w', ready_at(t))
end

function dead.lose(t)
  local is_superseded = t.extras and extra.unique.is_superseded(t)
  lose(t)
  if is_superseded then extra.unique.end_superseded(t) end
end

-- {incarnation, how many tasks it held, {ids of those that failed for good}, ...} by name.
local function lost_workers(held)
  local names, flat = {}, {}
  for process in pairs(held) do names[#names + 1] = process end
  table.sort(names)
  for _, process in ipairs(names) do
    local tasks, failed = held[process], {}
    for _, t in ipairs(tasks) do
      if t.status == 'f' then failed[#failed + 1] = t.id end
    end
    flat[#flat + 1], flat[#flat + 2], flat[#flat + 3] = process, #tasks, failed
  end
  return flat
end

-- How many leases were recovered, and from which processes; nil if from none.
local function recover(limit)
  local members = redis.call('ZRANGEBYSCORE', LEASES, '-inf', NOW, 'LIMIT', '0', int(limit))
  if #members == 0 then return 0, nil end
  local ids, held = {}, {}
  for n, member in ipairs(members) do ids[n] = id_of(member) end
  local tasks = fetch(ids)
  if s.keyed then keyed.read_holders(tasks) end
  for n, t in ipairs(tasks) do
    if t and t.status == 'p' and member_of(t) == members[n] then
      local holder = string.match(t.lease, '^[^.]*')
      append(held, holder, t)
      dead.lose(t)
    else
      local known = newer and newer[ids[n]]
      if known and known.status == 'p' then extra.park_newer(known) end
      if not t and s.breaker.probes > 0 then ended('probe', s.breaker.epoch) end -- it may have been a probe
      if s.keyed then keyed.freed(members[n]) end
      unindex(LEASES, members[n])
    end
  end
  flush()
  return #members, next(held) and lost_workers(held)
end
