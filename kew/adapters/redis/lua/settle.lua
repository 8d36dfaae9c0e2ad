-- flags: allow-oom
-- Apply outcomes in order, each under its lease's identity; then the ordinary claim.
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle hungry workers functions lanes unreadable
-- ARGV: channel queue incarnation lane sequence:int want:int lease_ms:int has_room:int holds:int recover_limit:int park_limit:int settlements*
-- ALONE KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle functions unreadable
-- ALONE ARGV: channel queue settlements*
--   settlements: per outcome: id; lease; succeed, release, not_started, snooze_ and its scope, or fail or retry, each with
--   _uncounted if the breaker doesn't count it; the delay of a retry or snooze, or 1 for a started release, or what
--   report_of splits; result or error
-- Reply: {now, {word, status letter, ...}, the claim's answer or false}
-- include: settle

local function operation()
  begin_ready()
  if not s then return {now, false, false} end
  local epoch, wake_before = s.breaker.epoch, s.wake_at
  local ids = {}
  for n = settlements_from, #ARGV, 5 do ids[#ids + 1] = ARGV[n] end
  local outcomes, freed = settle_each(settlements_from, #ARGV, ids, fetch(ids))
  local is_earlier = s.wake_at < wake_before
  local answer, taken, short = claim()
  if s.is_newly_snoozed then
    freed, is_earlier = taken, true -- a process has to set a timer, whatever it waits for
  elseif s.breaker.epoch ~= epoch then
    freed = taken + count_waiting() -- if it opened, one of the processes has to set a timer
  end
  waking.offer_freed(freed - taken, short, is_earlier)
  write_state()
  return {now, outcomes, answer}
end
