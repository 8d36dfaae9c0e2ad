-- Failed attempts and the groups of dead letters: kew.domain.attempts. Python writes and reads the parts of an attempt.
--   attempts:<ticket><id>   a list, oldest first: 'number at ran_ms process how group message_bytes\n', message, traceback;
--     '=' before the line's end: the traceback, which is left out, is that of the next attempt
--   checkpoint:<ticket><id>   what an attempt saved for the next one: kew.domain.checkpoints
--   dead, dead:<group>      sorted sets of ticket and id, by the expiry of the record
--   groups                  a sorted set, all of one score: the names of groups that have dead letters
-- include: record
local dead = {MOST_ATTEMPTS = 10, UNKNOWN = 'unknown'} -- and `work`: what is to be written, reset by `begin_moves`

-- A key of the queue that a call isn't given: only what failed needs it, so no other call pays for it. Needs STATE.
function dead.key(part)
  return string.sub(STATE, 1, -6) .. part
end

local function todo(kind)
  dead.work = dead.work or {noted = {}, cleared = {}, left = {}, forgotten = {}}
  return dead.work[kind]
end

local function attempts_of(member)
  return dead.key('attempts:') .. member
end

function dead.checkpoint_of(member)
  return dead.key('checkpoint:') .. member
end

-- A record with what is handed out beside it: {record, payload}, and its checkpoint as a third, if it has one.
function dead.with_beside(t, record, content)
  if t.more and string.find(',' .. t.more, ',checkpoint=', 1, true) then
    return {record, t.beside and content or false, redis.call('GET', dead.checkpoint_of(member_of(t)))}
  end
  return t.beside and {record, content} or record
end

-- This attempt of a task failed. It still has its lease, if it had one.
function dead.note(t, how, group, message, traceback)
  local noted, has_run = todo('noted'), t.lease ~= '-'
  t.group = group
  noted[#noted + 1] = {
    key = attempts_of(member_of(t)), is_first = t.attempt == '1' and t.replays == '0', traceback = traceback,
    text = t.attempt .. ' ' .. NOW .. ' ' .. (has_run and int(math.max(0, now - t.started_at)) or '0') .. ' '
      .. (has_run and string.match(t.lease, '^[^.]*') or '-') .. ' ' .. how .. ' ' .. group .. ' ' .. #message .. '\n'
      .. message .. traceback,
  }
end

-- The group of a task that an older version saw fail. Its last attempt is known if it was replayed and failed once more.
function dead.adopted(t)
  if not dead.last_attempt(member_of(t)) then
    dead.note(t, dead.UNKNOWN, dead.UNKNOWN, '', '')
  end
  return dead.group_of(member_of(t))
end

-- The task's attempts are kept no longer, and its checkpoint neither.
function dead.clear(member)
  local cleared = todo('cleared')
  cleared[#cleared + 1] = attempts_of(member)
  cleared[#cleared + 1] = dead.checkpoint_of(member)
end

function dead.clear_checkpoint(member)
  local cleared = todo('cleared')
  cleared[#cleared + 1] = dead.checkpoint_of(member)
end

-- A dead letter leaves this group.
function dead.leave(group)
  todo('left')[group] = true
end

function dead.attempts(member)
  return redis.call('LRANGE', attempts_of(member), 0, -1)
end

-- False: there is none.
function dead.last_attempt(member)
  return redis.call('LRANGE', attempts_of(member), -1, -1)[1] or false
end

-- The group of the last attempt.
function dead.group_of(member)
  local last = dead.last_attempt(member)
  return last and string.match(last, '^%S+ %S+ %S+ %S+ %S+ (%S+) ') or dead.UNKNOWN
end

-- An attempt without its traceback, if that is this one.
local function shortened(text, traceback)
  local line, message_bytes, from = string.match(text, '^([^\n]- (%d+))\n()')
  if not line or string.sub(text, from + message_bytes) ~= traceback then return nil end
  return line .. '=\n' .. string.sub(text, from, from + message_bytes - 1)
end

function dead.write_attempts()
  for _, each in ipairs(dead.work.noted) do
    local last = not each.is_first and each.traceback ~= '' and redis.call('LRANGE', each.key, -1, -1)[1]
    local shorter = last and shortened(last, each.traceback)
    if shorter then
      redis.call('LTRIM', each.key, 0, -2)
      redis.call('RPUSH', each.key, shorter)
    end
    if redis.call('RPUSH', each.key, each.text) > dead.MOST_ATTEMPTS then
      redis.call('LTRIM', each.key, -dead.MOST_ATTEMPTS, -1)
    end
  end
end

function dead.finish_work()
  local cleared = dead.work.cleared
  for first = 1, #cleared, PIECE do
    redis.call('DEL', unpack(cleared, first, math.min(first + PIECE - 1, #cleared)))
  end
  for group in pairs(dead.work.left) do
    if redis.call('EXISTS', dead.key('dead:') .. group) == 0 then redis.call('ZREM', dead.key('groups'), group) end
  end
  dead.work = nil
end
