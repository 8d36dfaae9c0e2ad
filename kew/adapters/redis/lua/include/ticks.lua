-- Schedules as they are stored, and what may be done to them: kew.domain.schedule. kew/adapters/redis/schedules.py says how
-- one is written. `key`: of the hash. Needs TASKS.
local ticks = {}

do
  local function read(key, name)
    local text = redis.call('HGET', key, name)
    local version, edition, after, paused, last, queue, times, note, body = string.match(text or '',
      '^(%d+) (%S+) (%-?%d+) (%d+) (%S+) (%S+) (%S+)\n([^\n]*)\n(.*)$')
    if version ~= '1' then return nil, text end
    return {key = key, name = name, edition = edition, after = tonumber(after), paused = tonumber(paused), last = last, queue = queue,
            times = times, note = note, body = body}, text
  end

  local function write(known)
    local text = '1 ' .. known.edition .. ' ' .. string.format('%d %d ', known.after, known.paused) .. known.last .. ' '
      .. known.queue .. ' ' .. known.times .. '\n' .. known.note .. '\n' .. known.body
    redis.call('HSET', known.key, known.name, text)
    return text
  end

  -- The four that people ask for: the word.
  function ticks.put(known, key, name, edition, queue, times, body, now)
    if known and known.body == body then return 'same' end
    if not known then known = {key = key, name = name, after = now, paused = 0, last = '-', note = '', times = times} end
    if known.times ~= times then known.after = now end
    known.edition, known.queue, known.times, known.body = edition, queue, times, body
    write(known)
    return 'done'
  end

  function ticks.pause(known, note, now)
    if known.paused > 0 and known.note == note then return 'same' end
    if known.paused == 0 then known.paused = now end
    known.note = note
    write(known)
    return 'done'
  end

  function ticks.resume(known, now)
    if known.paused == 0 then return 'same' end
    known.paused, known.note, known.after = 0, '', now
    write(known)
    return 'done'
  end

  -- Whether a tick may be submitted: the word, the schedule, and its text. `tick`: the schedule's name and, as the caller
  -- believes, its edition and up to which instant its ticks were dealt with; the instant to which they are to be; the overlap.
  function ticks.judge(key, tick, is_submitted, now)
    local name, edition, after, instant, policy = string.match(tick, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
    after, instant = tonumber(after), tonumber(instant)
    local known, text = read(key, name)
    if known then known.instant, known.policy = instant, policy end
    if not known then return 'missing', nil, text end
    if known.edition ~= edition or known.after ~= after or known.paused > 0 or instant <= known.after then
      return 'stale', known, text
    end
    if instant > now then return 'ahead', known, text end
    if not is_submitted or policy == 'allow' or known.last == '-' then return 'done', known, text end
    local before = redis.call('HGET', TASKS, name .. '@' .. known.last)
    if before and string.find(before, '^%d*[qwpr] ') then return 'busy', known, text end
    return 'done', known, text
  end

  local DELAYS = {full = true, key_full = true, draining = true, no_queue = true}

  -- The schedule's text after a tick; `id`: of its task.
  function ticks.committed(known, text, word, id)
    if DELAYS[word] or (word == 'busy' and known.policy == 'one') then return text end
    known.after = known.instant
    if id and (word == 'done' or word == 'same') then known.last = string.sub(id, #known.name + 2) end
    return write(known)
  end

  ticks.read = read
end
