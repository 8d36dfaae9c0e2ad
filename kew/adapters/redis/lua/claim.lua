-- flags: allow-oom
-- Recover a bounded number of ended leases, then grant up to `want` leases under every limit.
-- KEYS: tasks contents state line1 line2 line3 waiting1 waiting2 waiting3 leases ended parked idle hungry workers functions lanes unreadable
-- ARGV: channel queue incarnation lane sequence:int want:int lease_ms:int has_room:int holds:int recover_limit:int park_limit:int
-- Reply: {now, the claim's answer or false}
-- include: claim

local function operation()
  begin_ready()
  if not s then return {now, false} end
  local answer = claim(true) -- it rides on nothing
  write_state()
  return {now, answer}
end
