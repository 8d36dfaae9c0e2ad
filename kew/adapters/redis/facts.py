"""What a Redis says of itself, for people: INFO, what this user may not do, and what the Sentinels say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kew.adapters.redis.address import Address, facts_of
from kew.adapters.redis.connections import Connections
from kew.adapters.redis.durability import Unconfirmed
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Argument, Library
from kew.adapters.redis.wire import ReplyError, packed
from kew.app.ports import StoreError

# Asks for a command with one key several times: the commands of the library take nothing but keys of one prefix there.
LACKING: Final = """
local lacking = {}
for n = 6, #ARGV do
  local operand = ARGV[n] == ARGV[4] and ARGV[3] or ARGV[2]
  if not redis.acl_check_cmd(ARGV[n], operand, operand, operand) then
    lacking[#lacking + 1] = ARGV[n]
  end
end
if not redis.acl_check_cmd(ARGV[5], ARGV[3]) then
  lacking[#lacking + 1] = ARGV[5]
end
if not redis.acl_check_cmd('FCALL', 'any', '0') then
  lacking[#lacking + 1] = 'FCALL'
end
if ARGV[1] ~= '' and not redis.acl_check_cmd(ARGV[1], '1', '1') then
  lacking[#lacking + 1] = ARGV[1]
end
return lacking
"""


async def facts_about(
    pool: Connections,
    address: Address,
    library: Library,
    keys: Keys,
    *,
    commands: Connections,
) -> Mapping[str, str]:
    """INFO by name, and what kew adds to it.

    `kew_lacking`: commands that this user may not use; `kew_unconfirmed`: why a command is not confirmed now;
    `kew_sentinels`: those that are silent.
    """
    found = facts_of(await pool.call(packed("INFO")))
    found["kew_durability"] = address.durability.level
    if not address.durability.is_default:
        found["kew_unconfirmed"] = await _unconfirmed(commands)
    found["kew_lacking"] = " ".join(await _lacking(pool, address, library, keys))
    return {**found, **await address.facts()}


async def _unconfirmed(commands: Connections) -> str:
    try:
        await commands.call(packed("INFO", "server"))
    except StoreError as error:
        if isinstance(error.__cause__, Unconfirmed):
            return error.__cause__.missing
        raise
    return ""


async def _lacking(pool: Connections, address: Address, library: Library, keys: Keys) -> list[str]:
    durability = address.durability
    waits = "" if durability.is_default else durability.command
    words: list[Argument] = [waits, keys.key("tasks"), keys.channel("check")]
    words += [keys.publish, keys.subscribe]
    words += sorted({*library.commands, "HMGET", "SMEMBERS", keys.publish})
    try:
        reply = await pool.call(packed("EVAL", LACKING, 0, *words))
    except StoreError as error:
        cause = error.__cause__
        if isinstance(cause, ReplyError) and cause.code == "NOPERM":
            return ["EVAL"]
        raise
    return [each.decode() for each in reply]
