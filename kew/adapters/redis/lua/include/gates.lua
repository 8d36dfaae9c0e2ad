-- All gates as one: kew.domain.gates.fold. The files of gates/ are put in by the list of kew.domain.gates, in its order.
-- include: gates/*
local MOST = 1000000000

local function judge()
  local answers = answers_to('judge')
  for n = 1, #answers do answers[n]() end
end

-- How many more tasks may start while `held` leases are held.
local function room(held)
  local answers, left = answers_to('room'), MOST
  for n = 1, #answers do
    local allowed = answers[n](held)
    if allowed and allowed < left then left = allowed end
  end
  return left
end

-- How many of the `free` places this claim may take, at most `most`, and who comes first for what is left to others of it.
local function next_in_turn(free, most)
  return answers_to('next_in_turn')[1](free, most)
end

-- The earliest instant at which time alone may bring room; `lease_end`: the earliest end of a lease.
local function opens_at(lease_end)
  local answers, at = answers_to('opens_at'), NEVER
  for n = 1, #answers do
    local opening = answers[n](lease_end)
    if opening and opening < at then at = opening end
  end
  return at
end

-- When time alone will have opened the gates that it opens, leases left out; `now` if it opens none.
function GATES.latest_opening()
  local answers, at = answers_to('opens_at'), now
  for n = 1, #answers do
    local opening = answers[n](nil)
    if opening and opening > at then at = opening end
  end
  return at
end

-- The first reason to set aside a task of this function; nil: it can start in this process.
local function parks(fn)
  local answers = answers_to('parks')
  for n = 1, #answers do
    local reason = answers[n](fn)
    if reason then return reason end
  end
  return nil
end

local function granted(leases, tasks)
  if leases == 0 then return end
  local answers = answers_to('granted')
  for n = 1, #answers do answers[n](leases, tasks) end
end

local function ended(effect, epoch)
  local answers = answers_to('ended')
  for n = 1, #answers do answers[n](effect, epoch) end
end
