-- A task's record: one line of plain fields, then three parts that only Python understands (label, payload, outcome).
--   status queue ticket queued_at ready_at-queued_at history priority[a] nonce function label_bytes payload_bytes\n...
-- Status: q queued in a line, w queued elsewhere, r retry, p processing, c completed, f failed, x cancelled. `history` is
-- '-' until something has happened to the task. kew/adapters/redis/records.py is the same in Python. Needs TASKS.
-- A large payload or result is not in the record but in CONTENTS, under the task's id. Such a record begins with a 2, its
-- version, and one more field ends its line: the number of bytes in CONTENTS. A record with extras begins with a 3, and ends
-- its line with both: that number, or '-', and the extras.
-- Fields are only ever added at the end of the line, so `newer` knows some of a newer version's. Such a record is left alone.
-- Status u: set aside, since Python can't read it. The id of any other text goes to UNREADABLE, and the text is left alone.
-- include: state
-- include: batch
-- include: extras
local RECORD = '^([qwrpcfx]) (([^ ]+) (%d+) (%d+)) (%-?%d+) ([^ ]+) ([123]a? [^ ]+ ([^ ]+) (%d+) (%d+))\n(.*)$'
local LATER = {
  '^2([qwrpcfx]) (([^ ]+) (%d+) (%d+)) (%-?%d+) ([^ ]+) ([123]a? [^ ]+ ([^ ]+) (%d+) (%d+)) (%d+)\n(.*)$',
  '^3([qwrpcfx]) (([^ ]+) (%d+) (%d+)) (%-?%d+) ([^ ]+) ([123]a? [^ ]+ ([^ ]+) (%d+) (%d+)) (%S+) (%S+)\n(.*)$',
}
local NEWER = '^(%d%d?%d?)([qwrpcfx]) ([^ ]+) (%d+) (%d+) (%-?%d+) [^ ]+ ([123]a? [^ ]+) '
local HISTORY = '^(%d+),(%d+,%d+,%d+,[01]),(%d+),(%d+),(%d+),([%w_-]+[%d.]*),([^,]+),(%d+),(%d+),(.+)$'
local ZEROS = {'00000000000', '0000000000', '000000000', '00000000', '0000000', '000000', '00000', '0000', '000', '00', '0', ''}
local TICKET_DIGITS, DIGITS = 12, 15 -- Lua counts exactly up to 15 digits
local MOST_BYTES = 1024 * 1024 -- in one answer: it has to come through within the caller's patience, also on a slow link
local READ_AT_ONCE = 20 -- records, before their bytes are counted
local INLINE_BYTES = 1024 -- a payload or result of more is not in the record
local contents, emptied -- what `flush` writes to CONTENTS: id and text, one after the other; ids; nil: nothing
local unreadable -- by id: what the record begins with, its version left out; nil: none was met
local newer -- by id: what is known of a record of a newer version; nil: none was met
local SPLIT = {failures = true, losses = true, replays = true, cancel = true}

-- The counts of a task, which few calls look at, become fields of their own.
local function split_counts(t)
  local failures, losses, replays, cancel = string.match(t.counts, '^(%d+),(%d+),(%d+),([01])$')
  t.counts = false
  rawset(t, 'failures', failures)
  rawset(t, 'losses', losses)
  rawset(t, 'replays', replays)
  rawset(t, 'cancel', cancel)
end

-- A parsed task. Failures, losses, replays and cancel are one text, `counts`, until one of them is read or written.
local TASK = {
  __index = function(t, name)
    if not SPLIT[name] or not t.counts then return nil end
    split_counts(t)
    return rawget(t, name)
  end,
  __newindex = function(t, name, value)
    if SPLIT[name] and t.counts then split_counts(t) end
    rawset(t, name, value)
  end,
}

-- Running tasks by their records: who reads the text that a grant wrote need not take it apart again.
local memo = {}
do
  local remembered -- weak: it lasts until the garbage collector comes; nil: nothing yet

  -- The task has this record, and this call doesn't change it any more.
  function memo.keep(record, t)
    if t.beside then return end
    remembered = remembered or setmetatable({}, {__mode = 'v'})
    remembered[record] = t
  end

  -- The task of this id and record, if it is kept. It isn't any more: the caller may change it.
  function memo.take(id, record)
    local t = remembered and remembered[record]
    if not t or t.id ~= id then return nil end
    remembered[record] = nil
    return t
  end
end

-- A number as text. (Lua itself writes 15 digits and more with an exponent, and takes twice as long.)
local function int(number)
  return string.format('%d', number)
end

-- All fields are text, as they stand there; `tail` is what never changes, from the priority on. (A batch spends most of its
-- time here: a table made in one piece costs half of one filled field by field, and a field not looked at nothing.)
-- False for what can't be read: all of it is checked, before anything is written.
local function parse(id, raw)
  local beside, extras, more, key = false, false, false, false
  local match, version = string.match, string.byte(raw)
  local status, head, queue, ticket, queued_at, offset, lived, tail, fn, label_bytes, payload_bytes, body
  if version == 51 then
    status, head, queue, ticket, queued_at, offset, lived, tail, fn, label_bytes, payload_bytes, beside, extras, body =
      match(raw, LATER[2])
    if not body then return false end
    key = match(extras, extra.LONE_KEY) or false
    if not key then
      if not extra.check(extras) then return false end
      more = extras
    elseif string.byte(fn) == 64 then -- a closure waits for its own process
      key = false
    end
    if beside == '-' then
      beside = false
    elseif string.find(beside, '%D') then
      return false
    end
  elseif version == 50 then
    status, head, queue, ticket, queued_at, offset, lived, tail, fn, label_bytes, payload_bytes, beside, body =
      match(raw, LATER[1])
  else
    status, head, queue, ticket, queued_at, offset, lived, tail, fn, label_bytes, payload_bytes, body = match(raw, RECORD)
  end
  if not body or label_bytes + payload_bytes > #body or #ticket > TICKET_DIGITS or #queued_at > DIGITS
    or #offset > DIGITS or beside and #beside > DIGITS then
    return false
  end
  if lived == '-' then
    if status ~= 'q' and status ~= 'w' then return false end
    return setmetatable({
      id = id, status = status, head = head, queue = queue, ticket = ticket, queued_at = queued_at, offset = offset,
      tail = tail, fn = fn, body = body, attempt = '0', counts = '0,0,0,0', token = '0', epoch = '0', started_at = '0',
      lease = '-', settled = '-', ended_at = '0', expires_at = '0', watchers = '-', label_bytes = label_bytes,
      payload_bytes = payload_bytes, beside = beside, extras = extras, more = more, key = key, member = false, newer_raw = false,
    }, TASK)
  end
  local attempt, counts, token, epoch, started_at, lease, settled, ended_at, expires_at, watchers =
    match(lived, HISTORY)
  if not watchers or #attempt > DIGITS or #counts > DIGITS and string.find(counts, string.rep('%d', DIGITS + 1))
    or #token > DIGITS or #epoch > DIGITS or #started_at > DIGITS or #ended_at > DIGITS or #expires_at > DIGITS
    or (status == 'p') ~= (lease ~= '-')
    or (status == 'c' or status == 'f' or status == 'x') ~= (expires_at ~= '0') then
    return false
  end
  return setmetatable({
    id = id, status = status, head = head, queue = queue, ticket = ticket, queued_at = queued_at, offset = offset,
    tail = tail, fn = fn, body = body, attempt = attempt, counts = counts, token = token, epoch = epoch,
    started_at = started_at, lease = lease, settled = settled, ended_at = ended_at, expires_at = expires_at,
    watchers = watchers, label_bytes = label_bytes, payload_bytes = payload_bytes, beside = beside, extras = extras,
    more = more, key = key, member = false, newer_raw = false,
  }, TASK)
end

-- A task that is stored now, in a line; `tail` is the rest of its record from the priority on, label and payload included.
local function new_task(id, ticket, tail)
  local line, fn, label_bytes, payload_bytes, ends = string.match(tail, '^([^ ]+ [^ ]+ ([^ ]+) (%d+) (%d+))()\n')
  return setmetatable({
    id = id, status = 'q', head = queue .. ' ' .. ticket .. ' ' .. NOW, queue = queue, ticket = ticket,
    queued_at = NOW, offset = '0', tail = line, fn = fn, body = string.sub(tail, ends + 1), attempt = '0',
    counts = '0,0,0,0', token = '0', epoch = '0', started_at = '0', lease = '-', settled = '-', ended_at = '0',
    expires_at = '0', watchers = '-', label_bytes = label_bytes, payload_bytes = payload_bytes, beside = false,
    extras = false, more = false, key = false, member = false, newer_raw = false,
  }, TASK)
end

-- The record of a task: of the least version that has room for it.
local function packed(t)
  local version, more, beside, extras, counts = '', '', t.beside, t.extras, t.counts
  if extras then
    version, more = '3', ' ' .. (beside or '-') .. ' ' .. extras
  elseif beside then
    version, more = '2', ' ' .. beside
  end
  if not counts then counts = t.failures .. ',' .. t.losses .. ',' .. t.replays .. ',' .. t.cancel end
  return version .. t.status .. ' ' .. t.head .. ' ' .. t.offset .. ' ' .. t.attempt .. ',' .. counts .. ',' .. t.token .. ',' .. t.epoch
    .. ',' .. t.started_at .. ',' .. t.lease .. ',' .. t.settled .. ',' .. t.ended_at .. ',' .. t.expires_at
    .. ',' .. t.watchers .. ' ' .. t.tail .. more .. '\n' .. t.body
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
  if t.fn then return t.fn end
  local before = string.find(t.tail, ' ', 4, true)
  return string.sub(t.tail, before + 1, string.find(t.tail, ' ', before + 1, true) - 1)
end

local function ready_at(t)
  return t.queued_at + t.offset
end

-- Of its label and its payload, in bytes, as text.
local function sizes_of(t)
  if t.label_bytes then return t.label_bytes, t.payload_bytes end
  return string.match(t.tail, ' ([^ ]+) ([^ ]+)$')
end

-- An error replaces the last one.
local function set_outcome(t, text)
  local label_bytes, payload_bytes = sizes_of(t)
  t.body = string.sub(t.body, 1, label_bytes + payload_bytes) .. text
end

-- What is in CONTENTS for this task from now on, or that nothing is.
local function put_content(id, text)
  contents = contents or {}
  contents[#contents + 1], contents[#contents + 2] = id, text
end

local function remove_content(id)
  emptied = emptied or {}
  emptied[#emptied + 1] = id
end

-- The result replaces the last error and the payload, which is no longer needed.
local function set_result(t, result)
  local label_bytes, payload_bytes = sizes_of(t)
  t.tail, t.payload_bytes = string.sub(t.tail, 1, -1 - #payload_bytes) .. '0', '0'
  if #result > INLINE_BYTES then
    put_content(t.id, result)
    t.beside, result = int(#result), ''
  elseif t.beside then
    remove_content(t.id)
    t.beside = false
  end
  t.body = string.sub(t.body, 1, label_bytes) .. result
  if t.more then extra.forget_progress(t) end
end

-- The record as a reader gets it who needs no payload.
function extra.packed_without_payload(t)
  local call, label_bytes, payload_bytes = string.match(t.tail, '^([^ ]+ [^ ]+ [^ ]+) ([^ ]+) ([^ ]+)$')
  t.tail = call .. ' ' .. label_bytes .. ' 0'
  t.body = string.sub(t.body, 1, label_bytes) .. string.sub(t.body, label_bytes + payload_bytes + 1)
  return packed(t)
end

local function has_result_beside(raw)
  local version = string.byte(raw)
  if version ~= 50 and version ~= 51 then return false end
  local first = string.sub(raw, 1, 3)
  return first == '2c ' or first == '3c ' and string.find(raw, '^[^\n]* %d+ %S+\n') ~= nil
end

-- A record as a reader of results gets it, {record, result or false} if the result is in CONTENTS; and its bytes.
function extra.with_result(id, raw)
  if not raw then return false, 0 end
  if not has_result_beside(raw) then return raw, #raw end
  local result = redis.call('HGET', CONTENTS, id)
  return {raw, result}, #raw + (result and #result or 0)
end

local function has_ended(t)
  return t.expires_at ~= '0'
end

local function is_absent(t)
  return t.expires_at ~= '0' and tonumber(t.expires_at) <= now
end

-- An entry of the indexes: the ticket, so that equal scores go by it, then the id.
local function member(ticket, id)
  return ZEROS[#ticket] .. ticket .. id
end

local function member_of(t)
  local entry = t.member
  if not entry then
    entry = member(t.ticket, t.id)
    t.member = entry
  end
  return entry
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

-- The version of a record; of one whose extras have an unknown name, the next one after those that are known.
local function version_in(raw, version)
  if version ~= VERSION then return version end
  local extras = string.match(raw, '^[^\n]* %S+ (%S+)\n')
  local _, is_newer = extra.check(extras or '')
  return is_newer and VERSION + 1 or VERSION
end

-- What is known of a task whose record has a newer version: it waits for a process that knows '?<version>', as others wait for
-- one that knows their function. Nil: this isn't one.
local function parse_newer(id, raw)
  local written, status, queue, ticket, queued_at, offset, call = string.match(raw, NEWER)
  local version = written and version_in(raw, tonumber(written))
  if not call or version <= VERSION or #ticket > TICKET_DIGITS or #queued_at > DIGITS or #offset > DIGITS then
    return nil
  end
  return {id = id, status = status, queue = queue, ticket = ticket, queued_at = queued_at, offset = offset,
          tail = call .. ' ?' .. version .. ' ', version = version, newer_raw = raw}
end

-- The newest version that this call met.
local function newest()
  local version = s.format
  for _, known in pairs(newer or {}) do version = math.max(version, known.version) end
  return version
end

-- How many functions of a process are known. Beside them it announced the versions of records that it knows.
local function count_functions(process)
  return math.max(0, redis.call('SCARD', FUNCTIONS .. ':' .. process) - (VERSION - 2))
end

-- The same, parsed; false also for one that can't be read or is newer, which is remembered.
local function fetch(ids)
  local tasks, raws = {}, fetch_raw(ids)
  for n = 1, #raws do
    local raw = raws[n]
    local t = raw and (memo.take(ids[n], raw) or parse(ids[n], raw))
    if raw and not t then
      local id, known = ids[n], parse_newer(ids[n], raw)
      if known then
        newer = newer or {}
        newer[id] = known
      else
        unreadable = unreadable or {}
        unreadable[id] = string.match(raw, '^[23]?(..)') or ''
      end
    end
    tasks[n] = t
  end
  return tasks
end

-- The same with what is known of newer ones.
local function fetch_waiting(ids)
  local tasks = fetch(ids)
  for n, id in ipairs(newer and ids or {}) do tasks[n] = tasks[n] or newer[id] or false end
  return tasks
end
