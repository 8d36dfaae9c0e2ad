-- flags: allow-oom
-- Give a key limits of its own, in place of those that it had, or ('-') none: kew.domain.commands.limit_key.
--   own: workers, rates, size ('-': as declared), and for how long they last, in ms (0: until they are removed)
-- KEYS: tasks state line1 line2 line3 waiting1 waiting2 waiting3 leases idle parked functions
-- ARGV: channel queue key own
-- Reply: {word, now}
-- include: waking

local function operation()
  begin_moves()
  if not s then return {'no_queue', now} end
  local is_changed = keyed.set_own(key, own)
  if is_changed then offer_all() end
  write_state()
  return {is_changed and 'done' or 'same', now}
end
