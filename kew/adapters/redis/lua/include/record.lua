-- A task's record: one line of plain fields, then three parts that only Python understands (label, payload, outcome).
--   status queue ticket queued_at ready_at-queued_at history priority[a] nonce function label_bytes payload_bytes\n...
-- `history` is '-' until something has happened to the task. kew/adapters/redis/records.py is the same in Python. Needs TASKS.
-- include: batch
local RECORD = '^(%a) (%S+) (%d+) (%d+) (%-?%d+) (%S+) (%d)(a?) (%S+) (%S+) (%d+) (%d+)\n(.*)$'
local HISTORY = '^(%d+),(%d+),(%d+),(%d),(%d+),(%d+),(%d+),([^,]+),([^,]+),(%d+),(%d+),([^,]+)$'

-- Lua writes 15 digits and more with an exponent.
local function int(number)
  if number < 1e14 and number > -1e14 then return number end
  return string.format('%.0f', number)
end

local function parse(id, raw)
  local t = {id = id}
  local offset, history
  t.status, t.queue, t.ticket, t.queued_at, offset, history, t.priority, t.once, t.nonce, t.fn, t.label_bytes,
    t.payload_bytes, t.body = string.match(raw, RECORD)
  t.ready_at = t.queued_at + offset
  if history == '-' then
    t.attempt, t.failures, t.losses, t.cancel, t.token, t.epoch, t.started_at = 0, 0, 0, '0', 0, 0, 0
    t.lease, t.settled, t.ended_at, t.expires_at, t.watchers = '-', '-', 0, 0, '-'
  else
    t.attempt, t.failures, t.losses, t.cancel, t.token, t.epoch, t.started_at, t.lease, t.settled, t.ended_at,
      t.expires_at, t.watchers = string.match(history, HISTORY)
    t.expires_at = tonumber(t.expires_at)
  end
  return t
end

local function packed(t)
  return t.status .. ' ' .. t.queue .. ' ' .. t.ticket .. ' ' .. t.queued_at .. ' ' .. int(t.ready_at - t.queued_at)
    .. ' ' .. t.attempt .. ',' .. t.failures .. ',' .. t.losses .. ',' .. t.cancel .. ',' .. t.token .. ',' .. t.epoch
    .. ',' .. t.started_at .. ',' .. t.lease .. ',' .. t.settled .. ',' .. t.ended_at .. ',' .. int(t.expires_at)
    .. ',' .. t.watchers .. ' ' .. t.priority .. t.once .. ' ' .. t.nonce .. ' ' .. t.fn .. ' ' .. t.label_bytes
    .. ' ' .. t.payload_bytes .. '\n' .. t.body
end

-- The outcome replaces the last one; a result replaces the payload too, which nobody needs again.
local function set_outcome(t, outcome, drops_payload)
  if drops_payload then t.payload_bytes = 0 end
  t.body = string.sub(t.body, 1, t.label_bytes + t.payload_bytes) .. outcome
end

local function is_waiting(t)
  return t.status == 'q' or t.status == 'r'
end

local function is_absent(t)
  return t.expires_at > 0 and t.expires_at <= now
end

-- A member of the sorted sets: the ticket, so that equal scores go by it, then the id.
local function member_of(t)
  return string.sub('000000000000' .. t.ticket, -12) .. t.id
end

local function id_of(member)
  return string.sub(member, 13)
end

-- The records of `ids`, parsed, in order; false for one that there is not.
local function fetch(ids)
  local tasks = {}
  for first = 1, #ids, PIECE do
    local last = math.min(first + PIECE - 1, #ids)
    local raws = redis.call('HMGET', TASKS, unpack(ids, first, last))
    for n = first, last do
      local raw = raws[n - first + 1]
      tasks[n] = raw and parse(ids[n], raw)
    end
  end
  return tasks
end
