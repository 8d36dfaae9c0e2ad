-- Tasks that are not worth starting after a while: kew.domain.expiring. `expiring` is a sorted set of them, by that instant; an
-- entry means what its record says. The earliest instant stands behind the counts, ' starts_by=<ms>', so that a queue without
-- such tasks reads no key.
-- include: moves
extra.EXPIRED_AT_ONCE = 100 -- that one claim ends before it grants
extra.NEWER_AGAIN_MS = 60000

local function first_instant()
  return s.rest ~= '' and tonumber(string.match(s.rest, ' starts_by=(%d+)')) or nil
end

local function remember(at)
  s.rest = string.gsub(s.rest, ' starts_by=%d+', '')
  if at then s.rest = s.rest .. ' starts_by=' .. int(at) end
  s.is_rest_new = true
end

-- A task is stored whose record's line ends with these extras.
function extra.note_start_by(entry, extras)
  local start_by = string.match(',' .. extras, ',start_by=(%d+)')
  if not start_by then return end
  local at, first = now + start_by, first_instant()
  index(dead.key('expiring'), int(at), entry)
  if not first or at < first then remember(at) end
end

-- When it is no longer worth starting; nil: always, or it was taken or replayed.
local function unstarted_until(t)
  local start_by = t.extras and string.match(',' .. t.extras, ',start_by=(%d+)')
  local waits = t.status == 'q' or t.status == 'w' or t.status == 'r'
  return start_by and waits and t.attempt == '0' and t.replays == '0' and t.queued_at + start_by or nil
end

-- It waits, and is no longer worth starting: the next claim or maintenance cancels it.
function extra.has_expired(t)
  local at = unstarted_until(t)
  return at and at <= now or false
end

local function expired_text(t)
  local start_by = tonumber(string.match(',' .. t.extras, ',start_by=(%d+)'))
  return string.format('it expired: no process started it within %d.%03d s (expires_in)', math.floor(start_by / 1000),
    start_by % 1000)
end

-- End what has expired, the earliest first, at most `limit`: the ids, or nil if nothing has. `extra.is_behind`: there is more.
function extra.expire(limit)
  local first = first_instant()
  extra.is_behind = false
  if not first or first > now then return nil end
  local key, ended = dead.key('expiring'), {}
  local members, ids = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, limit), {}
  for n, entry in ipairs(members) do ids[n] = id_of(entry) end
  for n, t in ipairs(fetch(ids)) do
    if newer and newer[ids[n]] then
      index(key, int(now + extra.NEWER_AGAIN_MS), members[n]) -- only a process that knows its version may end it
    else
      unindex(key, members[n])
    end
    if t and t.queue == queue and member_of(t) == members[n] and extra.has_expired(t) then
      dequeue(t)
      set_outcome(t, expired_text(t))
      finish(t, 'x', history.COUNTED.expired)
      ended[#ended + 1] = t.id
    end
  end
  flush()
  local left = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
  remember(left)
  extra.is_behind = left and left <= now or false
  return ended
end
