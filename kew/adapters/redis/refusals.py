"""What an error reply means: was anything executed, and does the connection still lead to a usable primary?"""

from __future__ import annotations

import re
from typing import Final

from kew.adapters.redis.wire import ReplyError

# Codes of a server that did nothing. An error inside a function may follow its first write; these come before.
NOT_EXECUTED: Final = {
    *("OOM", "READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "NOAUTH", "WRONGPASS", "NOPERM"),
    *("BUSY", "MISCONF", "NOREPLICAS", "TRYAGAIN", "MOVED", "ASK"),
}
# Codes of a server that is no primary, not yet one, or perhaps one that was cut off from its replicas.
ELSEWHERE: Final = {
    *("READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "UNBLOCKED"),
    *("MOVED", "ASK", "TRYAGAIN", "NOTREADY"),
}
# Codes that the server gives to this request or this user: another connection would get the same.
OF_THE_REQUEST: Final = {
    *(
        "OOM",
        "BUSY",
        "MISCONF",
        "NOPERM",
        "NOAUTH",
        "WRONGPASS",
        "WRONGTYPE",
        "OLDLAYOUT",
        "NOSCRIPT",
        "NOPROTO",
        "UNCONFIRMED",
    ),
}
# Codes with which a node of a Cluster refers one request to another node, or to a later moment.
REDIRECTS: Final = {"MOVED", "ASK", "TRYAGAIN"}
OLD_LAYOUT: Final = "OLDLAYOUT"
READ_ONLY: Final = re.compile(r"read[- ]?only", re.IGNORECASE)
# Texts of proxies and managed services in front of a Redis that failed or was replaced.
UNREACHABLE: Final = re.compile(
    r"upstream|backend|no such (master|primary)|no (master|primary|server|node)|not (a|the) (master|primary)"
    r"|unreachable|failover|max(imum)? (number of )?clients|(host|server|connection) (is )?(down|refused|closed?|lost)",
    re.IGNORECASE,
)
OF_A_FUNCTION: Final = re.compile(r"@?user_(function|script)|script: |Function not found|Library ")


def was_not_executed(error: ReplyError) -> bool:
    """The server did nothing."""
    return error.code in NOT_EXECUTED or (not is_of_a_function(error) and _is_read_only(error))


def leads_elsewhere(error: ReplyError) -> bool:
    """The connection leads to a server that can't be used now: the address may lead to another one by now."""
    if error.code in ELSEWHERE:
        return True
    if error.code in OF_THE_REQUEST or is_of_a_function(error):
        return False
    return _is_read_only(error) or UNREACHABLE.search(str(error)) is not None


def is_redirect(error: BaseException | None) -> bool:
    """This request belongs to another node of a Cluster, or to a later moment."""
    return isinstance(error, ReplyError) and error.code in REDIRECTS


def is_of_a_function(error: ReplyError) -> bool:
    """kew's own library failed or is missing: a new connection would change nothing."""
    return OF_A_FUNCTION.search(str(error)) is not None


def is_unexpected(error: ReplyError) -> bool:
    """Nothing that a Redis says to kew's commands: better not to use this connection again."""
    return error.code not in OF_THE_REQUEST and not is_of_a_function(error)


def _is_read_only(error: ReplyError) -> bool:
    return READ_ONLY.search(str(error)) is not None


def old_layout(key: str) -> str:
    """What to do about a queue that this version can't read."""
    return (
        f"{key} was written by a version of kew whose layout this version can't read: let that version finish the "
        "queue's tasks and remove the queue (delete_queue), or give this one another namespace"
    )


def without_stop(reason: object) -> str:
    """The reason as a part of a sentence: without the full stop that some of redis-py's messages end with."""
    return str(reason).rstrip(".")
