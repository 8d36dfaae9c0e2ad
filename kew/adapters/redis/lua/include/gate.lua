-- What a gate is: kew.domain.gates.gate. A gate registers a table of those of these functions that it defines. Their own
-- names begin with the gate's (limit_room): two gates would overwrite each other's.
--   is_used(): whether the queue's settings use it; without this function it is always asked
--   judge(): bring its memory to the present
--   room(held): how many more tasks may start while this many leases are held; nil: no opinion
--   next_in_turn(free, most): how many of the `free` places this claim may take, at most `most`; the process that comes first
--     for what it leaves on purpose; and what the gate knows of the claimer. One gate alone defines it
--   opens_at(lease_end): when time alone may bring room (nil: it won't); the earliest end of a lease is given
--   parks(fn): the reason under which a task of this function is set aside, if it can't start in this process
--   granted(leases, tasks): after so many, at least 1, were granted, for these tasks
--   ended(effect, epoch): after a lease of this epoch of the breaker ended: 'success', 'failure' or 'probe'; once for all
--     successes of one epoch that follow each other in a call, so a gate can't count them
--   snoozed(t, scope, length): after a run of this task asked to come back later, in so many ms
--   resumed(): after a person resumed the queue
--   past(flat): add what people may want to know of it to a list of fields and texts
-- A gate's memory is a list of integers, the field gate:<name> of STATE. The gate registers it as `field`, reads it when it is
-- asked, and puts a new text into `s.unsaved`. If it keeps it elsewhere, it registers a function `memory` that gives the text.
-- include: state
local GATES = {}

local function register(gate)
  GATES[#GATES + 1] = gate
end

-- The gates that the queue uses: looked up again if its settings were changed.
local function used()
  if s.gates_of ~= s.settings then
    local gates = {}
    for _, gate in ipairs(GATES) do
      if not gate.is_used or gate.is_used() then gates[#gates + 1] = gate end
    end
    s.gates_of, s.gates, s.answers = s.settings, gates, {}
  end
  return s.gates
end

-- The functions that answer a question, of the gates that define one.
local function answers_to(question)
  local gates = used()
  local answers = s.answers[question]
  if not answers then
    answers = {}
    for _, gate in ipairs(gates) do answers[#answers + 1] = gate[question] end
    s.answers[question] = answers
  end
  return answers
end

local HOLDS = {'hold:paused', 'hold:draining'} -- since when, and a person's note

-- What the gates in use remember, since when and why people hold the queue, and who overrode its settings, by field.
function GATES.memories()
  local flat = {}
  for _, gate in ipairs(used()) do
    local text = gate.memory and gate.memory() or gate.field and (s.unsaved and s.unsaved[gate.field] or redis.call('HGET', STATE, gate.field))
    if text then flat[#flat + 1], flat[#flat + 2] = gate.field, text end
    if gate.past then gate.past(flat) end
  end
  for n, text in ipairs(redis.call('HMGET', STATE, unpack(HOLDS))) do
    if text then flat[#flat + 1], flat[#flat + 2] = HOLDS[n], text end
  end
  for _, text in ipairs(overrides.signatures(s.settings)) do flat[#flat + 1] = text end
  return flat
end

-- A run of this task asked to come back later. Gates that hold nothing yet are asked, too.
function GATES.snoozed(t, scope, length)
  for n = 1, #GATES do
    if GATES[n].snoozed then GATES[n].snoozed(t, scope, length) end
  end
end

-- A person resumed the queue.
function GATES.resumed()
  for _, gate in ipairs(used()) do
    if gate.resumed then gate.resumed() end
  end
end
