-- What maintenance does for dead letters, each in bounded steps. Needs TASKS, STATE, ENDED, queue.
-- include: forgetting
-- include: letter
-- include: place
local DAY_MS = 24 * 3600 * 1000
local LEAST_MS = 81000 -- kew.domain.config.SHORTEST_TTL: a submit that is repeated has to find its record

-- Entries that are left over: their ids are other tasks' by now, or a process of an older version replayed the task.
function dead.remove_stale(limit)
  local members, ids = redis.call('ZRANGEBYSCORE', dead.key('dead'), '-inf', NOW, 'LIMIT', 0, int(limit)), {}
  for n, member in ipairs(members) do ids[n] = id_of(member) end
  for n, t in ipairs(fetch(ids)) do
    local is_same = t and t.queue == queue and member_of(t) == members[n]
    if is_same and t.status == 'f' and not is_absent(t) then
      t.group = dead.group_of(members[n])
      dead.bury(t)
    elseif not (is_same and is_absent(t)) and not (newer and newer[ids[n]]) then
      dead.unbury({id = ids[n], ticket = tostring(tonumber(string.sub(members[n], 1, TICKET_DIGITS)))})
      if not is_same then dead.clear(members[n]) end
    end
  end
end

-- More dead letters than are to be kept: those that would expire first go, unless they were submitted just now.
function dead.remove_surplus(limit)
  local most = setting('max_dead_letters') or 0
  local surplus = most > 0 and math.min(limit, redis.call('ZCARD', dead.key('dead')) - most) or 0
  if surplus <= 0 then return 0 end
  local entries = redis.call('ZRANGE', dead.key('dead'), 0, surplus - 1, 'WITHSCORES')
  local removed = 0
  for n = 1, #entries, 2 do
    local t = dead.letter(entries[n], entries[n + 1])
    if t and t.queued_at + LEAST_MS <= now then
      dead.forget(t)
      removed = removed + 1
    end
  end
  dead.flush_forgotten()
  return removed
end

-- Dead letters that are in the index of ends alone, since an older version put them there: a piece of it in each call,
-- backwards, and all of it again a day later. The field `adopted` says from where on, or when to begin again.
function dead.adopt(limit)
  local place, score, id = redis.call('HGET', STATE, 'adopted'), '', ''
  if place then
    score, id = string.match(place, '^(%d+) (.*)$')
    if not score and tonumber(place) > now then return false end
  end
  local before, ids = positions.count_before(ENDED, score or '', id or ''), {}
  if before > 0 then ids = redis.call('ZRANGE', ENDED, math.max(0, before - limit), before - 1) end
  for n, raw in ipairs(fetch_raw(ids)) do
    local t = raw and string.find(raw, '^%d*f ') and parse(ids[n], raw)
    if t and t.queue == queue and not redis.call('ZSCORE', dead.key('dead'), member_of(t)) then
      t.group = dead.adopted(t)
      dead.bury(t)
    end
  end
  flush()
  local is_over = before <= limit
  redis.call('HSET', STATE, 'adopted', is_over and int(now + DAY_MS) or redis.call('ZSCORE', ENDED, ids[1]) .. ' ' .. ids[1])
  return not is_over
end
