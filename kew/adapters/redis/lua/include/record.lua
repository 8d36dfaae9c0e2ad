-- A task's record: one line of plain fields, then three parts that only Python understands (label, payload, outcome).
--   status queue ticket queued_at ready_at-queued_at history priority[a] nonce function label_bytes payload_bytes\n...
-- Status: q queued in a line, w queued elsewhere, r retry, p processing, c completed, f failed, x cancelled. `history` is
-- '-' until something has happened to the task. kew/adapters/redis/records.py is the same in Python. Needs TASKS.
-- include: state
-- include: batch
local RECORD = '^(%a) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^\n]+)\n(.*)$'
local HISTORY = '^([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),([^,]+),(.+)$'
local UNTOUCHED = {__index = {
  attempt = '0', failures = '0', losses = '0', replays = '0', cancel = '0', token = '0', epoch = '0',
  started_at = '0', lease = '-', settled = '-', ended_at = '0', expires_at = '0', watchers = '-',
}}

-- A number as text. (Lua itself writes 15 digits and more with an exponent, and takes twice as long.)
local function int(number)
  return string.format('%d', number)
end

-- All fields are text, as they stand there; `tail` is what never changes, from the priority on. (A batch spends most of its
-- time here: a table made in one piece costs half of one filled field by field, and a field not looked at nothing.)
-- False for what is no record: a stranger's, and as good as none.
local function parse(id, raw)
  local status, queue, ticket, queued_at, offset, history, tail, body = string.match(raw, RECORD)
  if history == '-' then
    return setmetatable({
      id = id, status = status, queue = queue, ticket = ticket, queued_at = queued_at, offset = offset, tail = tail,
      body = body,
    }, UNTOUCHED)
  end
  local attempt, failures, losses, replays, cancel, token, epoch, started_at, lease, settled, ended_at, expires_at,
    watchers = string.match(history or '', HISTORY)
  if not watchers then return false end
  return {
    id = id, status = status, queue = queue, ticket = ticket, queued_at = queued_at, offset = offset, tail = tail,
    body = body, attempt = attempt, failures = failures, losses = losses, replays = replays, cancel = cancel,
    token = token, epoch = epoch, started_at = started_at, lease = lease, settled = settled, ended_at = ended_at,
    expires_at = expires_at, watchers = watchers,
  }
end

local function packed(t)
  return t.status .. ' ' .. t.queue .. ' ' .. t.ticket .. ' ' .. t.queued_at .. ' ' .. t.offset
    .. ' ' .. t.attempt .. ',' .. t.failures .. ',' .. t.losses .. ',' .. t.replays .. ',' .. t.cancel .. ',' .. t.token .. ',' .. t.epoch
    .. ',' .. t.started_at .. ',' .. t.lease .. ',' .. t.settled .. ',' .. t.ended_at .. ',' .. t.expires_at
    .. ',' .. t.watchers .. ' ' .. t.tail .. '\n' .. t.body
end

local function priority_of(t)
  return tonumber(string.sub(t.tail, 1, 1))
end

local function is_at_most_once(t)
  return string.sub(t.tail, 2, 2) == 'a'
end

local function nonce_of(t)
  return string.match(t.tail, '^[^ ]+ ([^ ]+)')
end

local function function_of(t)
  return string.match(t.tail, '^[^ ]+ [^ ]+ ([^ ]+)')
end

local function ready_at(t)
  return t.queued_at + t.offset
end

-- The outcome replaces the last one; a result replaces the payload too, which nobody needs again.
local function set_outcome(t, outcome, drops_payload)
  local call, label_bytes, payload_bytes = string.match(t.tail, '^([^ ]+ [^ ]+ [^ ]+) ([^ ]+) ([^ ]+)$')
  if drops_payload then
    payload_bytes = '0'
    t.tail = call .. ' ' .. label_bytes .. ' 0'
  end
  t.body = string.sub(t.body, 1, label_bytes + payload_bytes) .. outcome
end

local function outcome_of(t)
  local label_bytes, payload_bytes = string.match(t.tail, ' ([^ ]+) ([^ ]+)$')
  return string.sub(t.body, label_bytes + payload_bytes + 1)
end

local function has_ended(t)
  return t.expires_at ~= '0'
end

local function is_absent(t)
  return t.expires_at ~= '0' and tonumber(t.expires_at) <= now
end

-- An entry of the indexes: the ticket, so that equal scores go by it, then the id.
local function member(ticket, id)
  return string.format('%012d', ticket) .. id
end

local function member_of(t)
  return member(t.ticket, t.id)
end

local function id_of(member)
  return string.sub(member, 13)
end

-- The records of `ids`, as they are stored, in order; false for one that there is not.
local function fetch_raw(ids)
  if #ids <= PIECE then return #ids == 0 and {} or redis.call('HMGET', TASKS, unpack(ids)) end
  local raws = {}
  for first = 1, #ids, PIECE do
    for _, raw in ipairs(redis.call('HMGET', TASKS, unpack(ids, first, math.min(first + PIECE - 1, #ids)))) do
      raws[#raws + 1] = raw
    end
  end
  return raws
end

-- The same, parsed.
local function fetch(ids)
  local tasks = {}
  for n, raw in ipairs(fetch_raw(ids)) do tasks[n] = raw and parse(ids[n], raw) end
  return tasks
end
