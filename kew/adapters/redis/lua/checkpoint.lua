-- flags: allow-oom
-- Save what a task has done so far, under its live lease: kew.domain.checkpoints.save.
-- KEYS: tasks state leases
-- ARGV: queue id refs*
--   refs: the lease; the number within the attempt; the data
-- Reply: {now, done, cancel (live, and the task is to stop), same (this or a later one is there) or stale}
-- include: dead

local function operation()
  begin_state()
  local t = s and fetch({id})[1]
  if not t or t.lease ~= ARGV[refs_from] or t.queue ~= queue then return {now, 'stale'} end
  local lease_until, data = redis.call('ZSCORE', LEASES, member_of(t)), ARGV[refs_from + 2]
  if not lease_until or tonumber(lease_until) <= now then return {now, 'stale'} end
  if not extra.checkpoint(t, tonumber(ARGV[refs_from + 1]), #data) then return {now, 'same'} end
  redis.call('SET', dead.checkpoint_of(member_of(t)), data)
  redis.call('HSET', TASKS, id, packed(t))
  return {now, t.cancel == '1' and 'cancel' or 'done'}
end
