-- How many tasks may start in any window: kew.domain.rate, function by function, and kew.domain.gates.rate. A log is
-- {per, unit, last, tat, fraction, starts}; starts are instants and counts, one after the other.
-- include: gate
-- include: extras
local LOG = {FIELD = 'gate:rate', GRAINS = 1000, MOST_ENTRIES = 4000}

-- {count, per, burst} of each rate.
local function rates_of(settings, name)
  local rates = {}
  for count, per, burst in string.gmatch(string.match(settings, name .. '=(%S+)') or '', '(%d+):(%d+):(%d+)') do
    rates[#rates + 1] = {count = tonumber(count), per = tonumber(per), burst = tonumber(burst)}
  end
  return rates
end

local function read_logs(text, rates)
  local numbers, found, longest, at = {}, {}, nil, 1
  for number in string.gmatch(text, '%-?%d+') do numbers[#numbers + 1] = tonumber(number) end
  while at <= #numbers do
    local log = {per = numbers[at], unit = numbers[at + 1], last = numbers[at + 2], tat = numbers[at + 3],
      fraction = numbers[at + 4], starts = {}}
    for n = at + 6, at + 5 + 2 * numbers[at + 5] do log.starts[#log.starts + 1] = numbers[n] end
    at = at + 6 + #log.starts
    found[log.per] = log
    if not longest or log.per > longest.per then longest = log end
  end
  local logs = {}
  for n, rate in ipairs(rates) do
    logs[n] = found[rate.per]
      or {per = rate.per, unit = rate.count, last = 0, tat = 0, fraction = 0, starts = longest and {unpack(longest.starts)} or {}}
  end
  return logs
end

local function write_logs(logs)
  local parts = {}
  for _, log in ipairs(logs) do
    parts[#parts + 1] = string.format('%d %d %d %d %d %d', log.per, log.unit, log.last, log.tat, log.fraction, #log.starts / 2)
    if #log.starts > 0 then parts[#parts + 1] = table.concat(log.starts, ' ') end
  end
  return table.concat(parts, ' ')
end

-- The rates and their logs, as they are remembered from call to call with the state.
local function rate_logs()
  if not s.rates or s.rates_of ~= s.settings then
    local text = s.unsaved and s.unsaved[LOG.FIELD] or redis.call('HGET', STATE, LOG.FIELD) or ''
    s.rates_of, s.rates = s.settings, rates_of(s.settings, 'rates')
    s.rate_logs = read_logs(text, s.rates)
  end
  return s.rates, s.rate_logs
end

local function remember_logs()
  s.unsaved = s.unsaved or {}
  s.unsaved[LOG.FIELD] = write_logs(s.rate_logs)
end

local function rounded(per, at)
  local grain = math.ceil(per / LOG.GRAINS)
  return math.ceil(at / grain) * grain
end

local function add_starts(log, at, starts)
  if starts == 0 then return end
  local all, place = log.starts, 1
  while all[place] and all[place] < at do place = place + 2 end
  if all[place] == at then
    all[place + 1] = all[place + 1] + starts
    return
  end
  table.insert(all, place, starts)
  table.insert(all, place, at)
  while #all > 2 * LOG.MOST_ENTRIES do all[#all] = nil end
end

-- The log at this moment, and whether that changes it.
local function judge_log(log, rate)
  local differs = log.unit ~= rate.count
  if differs then
    log.unit, log.tat, log.fraction = rate.count, log.tat + (log.fraction > 0 and 1 or 0), 0
  end
  local at = rounded(rate.per, now)
  if at >= log.last then return differs end
  local ahead, after_this = 0, math.max(at, log.last - rate.per)
  for n = 1, #log.starts, 2 do
    if log.starts[n] > after_this then ahead = ahead + log.starts[n + 1] end
  end
  local most = rate.burst * rate.per
  if rate.burst > 0 and log.tat - now > math.floor(most / rate.count) then
    log.tat, log.fraction = now + math.floor(most / rate.count), most % rate.count
  end
  add_starts(log, at, ahead)
  log.last = at
  return true
end

local function debt(log, rate)
  local ahead = (log.tat - now) * rate.count + log.fraction
  return math.min(math.max(0, ahead), rate.burst * rate.per)
end

local function shares_window(when, per)
  return when > now - per and when < now + per + math.ceil(per / LOG.GRAINS)
end

local function room_of(log, rate)
  local used, starts, per = 0, log.starts, rate.per
  for n = 1, #starts, 2 do
    if shares_window(starts[n], per) then used = used + starts[n + 1] end
  end
  local left = math.max(0, rate.count - used)
  if rate.burst == 0 then return left, used end
  return math.min(left, math.floor((rate.burst * per - debt(log, rate)) / per)), used
end

-- What a start takes of each of these rates: its cost, but no more than any of them can ever give at once.
local function units_of(cost, rates)
  for _, rate in ipairs(rates) do cost = math.min(cost, rate.burst > 0 and rate.burst or rate.count) end
  return cost
end

-- When a task of so many units (1, if none are given) may start.
local function opening_of(log, rate, units)
  units = units or 1
  local _, used = room_of(log, rate)
  local at, starts, per = now, log.starts, rate.per
  for n = 1, #starts, 2 do
    if used + units <= rate.count then break end
    if shares_window(starts[n], per) then used, at = used - starts[n + 1], starts[n] + per end
  end
  if rate.burst > 0 then
    at = math.max(at, now + math.ceil((debt(log, rate) - (rate.burst - units) * per) / rate.count))
  end
  return at
end

local function grant_starts(log, rate, leases)
  local recent = {}
  for n = 1, #log.starts, 2 do
    if log.starts[n] > now - 2 * rate.per then recent[#recent + 1], recent[#recent + 2] = log.starts[n], log.starts[n + 1] end
  end
  log.starts = recent
  if rate.burst > 0 then
    if log.tat < now - (log.fraction > 0 and 1 or 0) then log.tat, log.fraction = now, 0 end
    local fraction = log.fraction + leases * rate.per
    log.tat, log.fraction = log.tat + math.floor(fraction / rate.count), fraction % rate.count
  end
  log.last = rounded(rate.per, now)
  add_starts(log, log.last, leases)
end

local function rate_is_used()
  return string.find(s.settings, 'rates=', 1, true) ~= nil
end

local function rate_judge()
  local rates, logs = rate_logs()
  local differs = false
  for n, log in ipairs(logs) do differs = judge_log(log, rates[n]) or differs end
  if differs then remember_logs() end
end

-- Units; and what the tasks may cost together that this call starts.
local function rate_room()
  local rates, logs = rate_logs()
  local left = NEVER
  for n, log in ipairs(logs) do left = math.min(left, (room_of(log, rates[n]))) end
  extra.units = left
  return extra.next_cost and left < units_of(extra.next_cost, rates) and 0 or left
end

local function rate_opens_at()
  local rates, logs = rate_logs()
  local at, units = now, extra.next_cost and units_of(extra.next_cost, rates)
  for n, log in ipairs(logs) do at = math.max(at, opening_of(log, rates[n], units)) end
  return at > now and at or nil
end

-- Whether this call may start this task as well, for what it costs; if not, it starts none after it.
function extra.affords(t)
  local cost = t.more and extra.cost_in(t.more) or 1
  local units = cost > 1 and units_of(cost, s.rates) or 1
  if units > extra.units then
    extra.next_cost = cost
    return false
  end
  extra.units = extra.units - units
  return true
end

local function rate_granted(_, tasks)
  local rates, logs = rate_logs()
  local units = 0
  for _, t in ipairs(tasks) do units = units + (t.more and units_of(extra.cost_in(t.more), rates) or 1) end
  for n, log in ipairs(logs) do grant_starts(log, rates[n], units) end
  remember_logs()
end

-- The most that a start of this queue may ever cost.
local function most_units()
  return units_of(NEVER, (rate_logs()))
end

-- For what has rates of its own: keyed_limits.lua.
GATES.rate = {of = rates_of, read = read_logs, write = write_logs, units = units_of, left = room_of, opening = opening_of,
  add = grant_starts, most = most_units}

register({field = LOG.FIELD, is_used = rate_is_used, judge = rate_judge, room = rate_room, opens_at = rate_opens_at,
  granted = rate_granted})
