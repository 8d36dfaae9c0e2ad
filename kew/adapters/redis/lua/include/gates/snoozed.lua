-- A snoozed queue starts nothing until an instant: kew.domain.gates.snoozed. Its memory is that instant and how long before it
-- the snooze began. It is kept behind the counts, ' snoozed=<until>,<length>', so that a queue without one reads no field.
-- include: gate
do
  local function read()
    if s.rest == '' then return nil end
    local until_at, length = string.match(s.rest, ' snoozed=(%d+),(%d+)')
    return tonumber(until_at), tonumber(length)
  end

  local function write(until_at, length)
    s.rest = string.gsub(s.rest, ' snoozed=%S+', '')
    if until_at > now then s.rest = s.rest .. string.format(' snoozed=%d,%d', until_at, length) end
    s.is_rest_new, s.gates_of = true, false
  end

  -- A snooze that is over is forgotten; after a step back of the clock it lasts no longer than was asked.
  local function judge()
    local until_at, length = read()
    if until_at <= now or until_at > now + length then write(math.min(until_at, now + length), length) end
  end

  local function opens_at()
    local until_at = read()
    return until_at and until_at > now and until_at or nil
  end

  local function room()
    return opens_at() and 0
  end

  -- A later instant wins over an earlier one.
  local function snoozed(t, scope, length)
    if scope ~= 'queue' then return end
    if read() then judge() end
    if length <= 0 or (read() or 0) >= now + length then return end
    write(now + length, length)
    s.is_newly_snoozed = true
    wake(now + length)
  end

  local function resumed()
    write(0, 0)
  end

  local function memory()
    return (string.gsub(string.match(s.rest, ' snoozed=(%S+)'), ',', ' '))
  end

  register({field = 'gate:snoozed', memory = memory, is_used = read, judge = judge, room = room, opens_at = opens_at,
    snoozed = snoozed, resumed = resumed})
end
