-- flags: no-writes
-- The groups of dead letters after this one, in the order of their names, at most `limit`.
-- KEYS: tasks state
-- ARGV: queue after_name limit:int
-- Reply: {now} if the queue doesn't exist, else {now, the last name looked at or false if there are no more, {name, count,
--   when the first ended, when the last ended (0: not known), id of the last, ...}}
-- include: letter

local function ended_at(member, score)
  local t = dead.letter(member, score)
  return t and t.ended_at or 0
end

local function operation()
  begin_state()
  if not s then return {now} end
  local names = redis.call('ZRANGE', dead.key('groups'), after_name == '' and '-' or '(' .. after_name, '+', 'BYLEX', 'LIMIT', 0, limit)
  local found = {}
  for _, name in ipairs(names) do
    local key = dead.key('dead:') .. name
    local count = redis.call('ZCOUNT', key, '(' .. NOW, '+inf')
    if count > 0 then
      local first = redis.call('ZRANGEBYSCORE', key, '(' .. NOW, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
      local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
      for _, value in ipairs({name, count, ended_at(first[1], first[2]), ended_at(last[1], last[2]), id_of(last[1])}) do
        found[#found + 1] = value
      end
    end
  end
  return {now, #names == limit and names[limit] or false, found}
end
