-- flags: allow-oom
-- Remove a queue and nothing else, a bounded number of tasks per call. The first call leaves a mark in place of the queue:
-- nothing is added or granted, and nobody declares it anew, until the last call has taken the mark away. Whoever finds it
-- may go on.
-- KEYS: queues tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle hungry workers functions lanes
-- ARGV: queue limit:int is_first:int
-- Reply: 1 if something is left
-- include: batch

local function forget_queue()
  redis.call('DEL', STATE, IDLE, HUNGRY)
  redis.call('HSET', STATE, 'is_purged', 1)
  for _, process in ipairs(redis.call('ZRANGE', WORKERS, 0, -1)) do
    redis.call('DEL', LANES .. ':' .. process, FUNCTIONS .. ':' .. process)
  end
  redis.call('DEL', WORKERS)
end

-- Only records that say they are this queue's: an id of the index of ends may have been used again elsewhere.
local function remove(pop, key, skip)
  local popped, ids, gone = redis.call(pop, key, limit) or {}, {}, {}
  for n = 1, #popped, pop == 'LPOP' and 1 or 2 do ids[#ids + 1] = string.sub(popped[n], skip + 1) end
  local raws = #ids > 0 and redis.call('HMGET', TASKS, unpack(ids)) or {}
  for n, raw in ipairs(raws) do
    if raw and string.match(raw, '^%a (%S+)') == queue then gone[#gone + 1] = ids[n] end
  end
  send('HDEL', TASKS, gone)
  limit = limit - #ids
end

local function operation()
  if is_first == 1 then
    forget_queue()
  elseif redis.call('HEXISTS', STATE, 'is_purged') == 0 then
    return 0 -- somebody else has finished it, and it may be there anew
  end
  for _, key in ipairs({LINE1, LINE2, LINE3}) do
    if limit > 0 then remove('LPOP', key, 12) end
  end
  for _, key in ipairs({WAITING1, WAITING2, WAITING3, LEASES}) do
    if limit > 0 then remove('ZPOPMIN', key, 12) end
  end
  for _, fn in ipairs(redis.call('SRANDMEMBER', PARKED, 100)) do
    for priority = 1, 3 do
      if limit > 0 then remove('ZPOPMIN', PARKED .. ':' .. priority .. ':' .. fn, 12) end
    end
    if limit > 0 then redis.call('SREM', PARKED, fn) end
  end
  if limit > 0 then remove('ZPOPMIN', ENDED, 0) end
  if limit == 0 or redis.call('EXISTS', PARKED) == 1 then return 1 end
  redis.call('DEL', STATE)
  redis.call('SREM', QUEUES, queue)
  return 0
end
