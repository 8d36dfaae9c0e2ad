-- A task's record: one line of plain fields, then three parts that only Python understands (label, payload, outcome).
--   status queue ticket queued_at ready_at-queued_at history priority[a] nonce function label_bytes payload_bytes\n...
-- Status: q queued in a line, w queued elsewhere, r retry, p processing, c completed, f failed, x cancelled. `history` is
-- '-' until something has happened to the task. kew/adapters/redis/records.py is the same in Python. Needs TASKS.
-- include: batch
local RECORD = '^(%a) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) (%d)(a?) ([^ ]+) ([^ ]+) ([^ ]+) ([^\n]+)\n(.*)$'
local HISTORY = '^([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),(.+)$'

-- A number as text. (Lua itself writes 15 digits and more with an exponent, and takes twice as long.)
local function int(number)
  return string.format('%d', number)
end

local NOW = int(now)

-- All fields are text, as they stand there. (A table made in one piece costs half of one filled field by field.)
local function parse(id, raw)
  local status, queue, ticket, queued_at, offset, history, priority, once, nonce, fn, label_bytes, payload_bytes, body =
    string.match(raw, RECORD)
  local attempt, failures, losses, cancel, token, epoch, started_at, lease, settled, ended_at, expires_at, watchers =
    '0', '0', '0', '0', '0', '0', '0', '-', '-', '0', '0', '-'
  if history ~= '-' then
    attempt, failures, losses, cancel, token, epoch, started_at, lease, settled, ended_at, expires_at, watchers =
      string.match(history, HISTORY)
  end
  return {
    id = id, status = status, queue = queue, ticket = ticket, queued_at = queued_at, offset = offset,
    priority = priority, once = once, nonce = nonce, fn = fn, label_bytes = label_bytes,
    payload_bytes = payload_bytes, body = body, attempt = attempt, failures = failures, losses = losses,
    cancel = cancel, token = token, epoch = epoch, started_at = started_at, lease = lease, settled = settled,
    ended_at = ended_at, expires_at = expires_at, watchers = watchers,
  }
end

local function packed(t)
  return t.status .. ' ' .. t.queue .. ' ' .. t.ticket .. ' ' .. t.queued_at .. ' ' .. t.offset
    .. ' ' .. t.attempt .. ',' .. t.failures .. ',' .. t.losses .. ',' .. t.cancel .. ',' .. t.token .. ',' .. t.epoch
    .. ',' .. t.started_at .. ',' .. t.lease .. ',' .. t.settled .. ',' .. t.ended_at .. ',' .. t.expires_at
    .. ',' .. t.watchers .. ' ' .. t.priority .. t.once .. ' ' .. t.nonce .. ' ' .. t.fn .. ' ' .. t.label_bytes
    .. ' ' .. t.payload_bytes .. '\n' .. t.body
end

local function ready_at(t)
  return t.queued_at + t.offset
end

-- The outcome replaces the last one; a result replaces the payload too, which nobody needs again.
local function set_outcome(t, outcome, drops_payload)
  if drops_payload then t.payload_bytes = '0' end
  t.body = string.sub(t.body, 1, t.label_bytes + t.payload_bytes) .. outcome
end

local function has_ended(t)
  return t.expires_at ~= '0'
end

local function is_absent(t)
  return t.expires_at ~= '0' and tonumber(t.expires_at) <= now
end

-- An entry of the indexes: the ticket, so that equal scores go by it, then the id.
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
