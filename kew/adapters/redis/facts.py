"""What a Redis says of itself, for people: INFO, what this user may not do, and what the Sentinels say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kew.adapters.redis.address import Address, facts_of
from kew.adapters.redis.functions import Functions
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Argument
from kew.adapters.redis.wire import ReplyError, packed
from kew.app.ports import StoreError

# Asks for a command with one key several times: the commands of the library take nothing but keys of one prefix there.
LACKING: Final = """
local lacking = {}
for n = 4, #ARGV do
  local operand = ARGV[n] == 'PUBLISH' and ARGV[3] or ARGV[2]
  if not redis.acl_check_cmd(ARGV[n], operand, operand, operand) then
    lacking[#lacking + 1] = ARGV[n]
  end
end
if not redis.acl_check_cmd('SUBSCRIBE', ARGV[3]) then
  lacking[#lacking + 1] = 'SUBSCRIBE'
end
if not redis.acl_check_cmd('FCALL', 'any', '0') then
  lacking[#lacking + 1] = 'FCALL'
end
if ARGV[1] ~= '' and not redis.acl_check_cmd(ARGV[1], '1', '1') then
  lacking[#lacking + 1] = ARGV[1]
end
return lacking
"""


async def facts_about(functions: Functions, address: Address, keys: Keys) -> Mapping[str, str]:
    """INFO by name, and `kew_lacking`: commands that this user may not use; `kew_sentinels`: those that are silent."""
    found = facts_of(await functions.read("", "INFO"))
    found["kew_durability"] = address.durability.level
    found["kew_lacking"] = " ".join(await _lacking(functions, address, keys))
    return {**found, **await address.facts()}


async def _lacking(functions: Functions, address: Address, keys: Keys) -> list[str]:
    durability = address.durability
    waits = "" if durability.is_default else durability.command
    words: list[Argument] = [waits, keys.key("tasks"), keys.channel("check")]
    words += sorted({*functions.library.commands, "HMGET", "SMEMBERS"})
    try:
        reply = await functions.questions.call(packed("EVAL", LACKING, 0, *words))
    except StoreError as error:
        cause = error.__cause__
        if isinstance(cause, ReplyError) and cause.code == "NOPERM":
            return ["EVAL"]
        raise
    return [each.decode() for each in reply]
