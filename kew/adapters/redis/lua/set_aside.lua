-- flags: allow-oom
-- Set aside records that Python can't read, though Lua can, as they were read: out of every index, into that of the
-- unreadable ones. The status letter u keeps them there.
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle functions unreadable
-- ARGV: channel queue refs*
--   refs: per record: id; SHA-1 of the record, in hexadecimal
-- Reply: how many were set aside
-- include: waking

local function take_out(t)
  if t.status == 'f' then dead.unbury(t) end
  dead.clear(member_of(t))
  if t.status == 'p' then
    ended('probe', tonumber(t.epoch))
    unindex(LEASES, member_of(t))
    if t.extras then keyed.freed(member_of(t)) end
  elseif has_ended(t) then
    unindex(ENDED, t.id)
  else
    dequeue(t)
  end
end

local function set_aside(id, digest)
  local raw = redis.call('HGET', TASKS, id)
  local t = raw and redis.sha1hex(raw) == digest and parse(id, raw)
  if not t or t.queue ~= queue then return 0 end
  take_out(t)
  redis.call('ZADD', UNREADABLE, NOW, id)
  redis.call('HSET', TASKS, id, (string.gsub(raw, '^(%d*)%a', '%1u')))
  return 1
end

local function operation()
  begin_moves()
  if not s then return 0 end
  local done = 0
  for n = refs_from, #ARGV, 2 do done = done + set_aside(ARGV[n], ARGV[n + 1]) end
  flush()
  offer_waiting(done, '')
  write_state()
  return done
end
