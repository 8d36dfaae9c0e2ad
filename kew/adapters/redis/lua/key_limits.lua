-- flags: no-writes
-- Some of the limits that keys have of their own, from this place of a scan on; or those of one key.
-- KEYS: state parked
-- ARGV: key scan look_limit:int
-- Reply: {now} if there is no such queue, else {now, {key, limits, ...}, where to go on, or '0'}
-- include: state

local function operation()
  begin_state()
  if not s then return {now} end
  local limits = string.sub(PARKED, 1, -7) .. 'keyed:limits'
  if key == '' then
    local reply = redis.call('HSCAN', limits, scan, 'COUNT', look_limit)
    return {now, reply[2], reply[1]}
  end
  local own = redis.call('HGET', limits, key)
  return {now, own and {key, own} or {}, '0'}
end
