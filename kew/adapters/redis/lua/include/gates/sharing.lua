-- Starved processes are left their part of the limit: kew.domain.sharing, function by function, and
-- kew.domain.gates.sharing. The key of the starved ones keeps the name that stored queues use.
-- Needs incarnation, holds, HUNGRY.
-- include: gate
local TURN_MS, NOTIFIED_AT_MOST = 250, 3

local function read_starved(text)
  local held, since, notified = string.match(text, '^(%d+) (%d+) (%d+)$')
  -- What can't be read is the entry of a process that is notified once more, and then forgotten.
  return {holds = tonumber(held) or 0, since = tonumber(since) or now, notified = tonumber(notified) or NOTIFIED_AT_MOST}
end

local function starved_text(held, since, notified)
  return string.format('%d %d %d', held, since, notified)
end

-- The processes that would take more of the limit, the claimer among them, by turn; and what was remembered of the claimer.
local function in_turn(flat)
  local me = {who = incarnation, holds = holds, since = now}
  local all, mine = {me}, nil
  for n = 1, #flat, 2 do
    local each = read_starved(flat[n + 1])
    each.who = flat[n]
    if each.who == incarnation then mine = each else all[#all + 1] = each end
  end
  if mine and mine.holds == holds then me.since = math.min(mine.since, now) end
  for _, each in ipairs(all) do each.is_early = now - each.since < TURN_MS end
  table.sort(all, function(a, b)
    if a.is_early ~= b.is_early then return b.is_early end
    if a.is_early and (a == me) ~= (b == me) then return a == me end
    if a.since ~= b.since then return a.since < b.since end
    return a.who < b.who
  end)
  return all, mine
end

local function sharing_next_in_turn(free, most)
  if most == 0 then
    local text = redis.call('HGET', HUNGRY, incarnation)
    return 0, nil, text and read_starved(text)
  end
  local flat = redis.call('HGETALL', HUNGRY)
  if #flat == 0 then return most, nil, nil end
  local all, mine = in_turn(flat)
  local total, part, left, next_one = free, 0, free, nil
  for _, each in ipairs(all) do total = total + each.holds end
  local equal, odd = math.floor(total / #all), total % #all
  for place, each in ipairs(all) do
    local given = math.min(left, math.max(0, equal + (place <= odd and 1 or 0) - each.holds))
    left = left - given
    if each.who == incarnation then part = given elseif given > 0 then next_one = next_one or each end
  end
  if part >= most then return most, nil, mine end
  return part, next_one, mine
end

register({next_in_turn = sharing_next_in_turn})
