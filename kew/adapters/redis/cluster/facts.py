"""What all primaries say of themselves, as if they were one server: of each thing, what the worst of them says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Final

Facts = Mapping[str, str]
PRIMARIES: Final = "kew_primaries"
"""How many there are: a fact that no server states."""


def _number(facts: Facts, name: str) -> int:
    return int(facts.get(name) or 0)


def _age(facts: Facts) -> Any:
    version = re.findall(r"\d+", facts.get("redis_version", "0"))
    return [-int(part) for part in version[:2]]


def _losses(facts: Facts) -> Any:
    """A broken file is worse than none."""
    statuses = ("aof_last_write_status", "rdb_last_bgsave_status")
    is_broken = any(facts.get(name, "ok") != "ok" for name in statuses)
    return is_broken, facts.get("aof_enabled") != "1"


def _fullness(facts: Facts) -> Any:
    most = _number(facts, "maxmemory")
    evicts = most > 0 and facts.get("maxmemory_policy", "noeviction") != "noeviction"
    return evicts, _number(facts, "used_memory") / most if most else 0.0


WORST: Final[Mapping[tuple[str, ...], Callable[[Facts], Any]]] = {
    ("redis_version",): _age,
    ("aof_enabled", "aof_last_write_status", "rdb_last_bgsave_status"): _losses,
    ("maxmemory", "maxmemory_policy", "used_memory"): _fullness,
    ("kew_unconfirmed",): lambda facts: bool(facts.get("kew_unconfirmed")),
    ("connected_slaves",): lambda facts: -_number(facts, "connected_slaves"),
}
"""How bad a server is in some respect; which of its facts say so."""


def worst_of(servers: Sequence[Facts]) -> dict[str, str]:
    """The facts of at least one server."""
    found: dict[str, str] = {**servers[0], PRIMARIES: str(len(servers))}
    middle = median(_number(server, "server_time_usec") for server in servers)
    respects = {
        **WORST,
        ("server_time_usec",): lambda facts: abs(_number(facts, "server_time_usec") - middle),
    }
    for names, badness in respects.items():
        worst = max(servers, key=badness)
        found |= {name: worst[name] for name in names if name in worst}
    lacking = {word for server in servers for word in server.get("kew_lacking", "").split()}
    return {**found, "kew_lacking": " ".join(sorted(lacking))}
