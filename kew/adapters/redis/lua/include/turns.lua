-- Waiting tasks with keys: kew.domain.keys. The functions are in keyed.lua; this is their table, for files that come before.
--   keyed.is_used: this call has looked at a key
local keyed = {}
