"""Names of processes: `host-pid-identity`, so that a lease says where its task runs, without another look-up.

The store knows a process, its leases and its channel by this name. Names of earlier versions are an identity alone.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 64
NOT_A_LETTER = re.compile(r"[^A-Za-z0-9-]+")
WITH_PLACE = re.compile(r"([A-Za-z0-9-]+)-(\d+)-[A-Za-z0-9]+")


def incarnation_of(host: str, pid: int, identity: str) -> str:
    """The name of a process: unique, since `identity` is. A host's name is cut to what a name has room for."""
    end = f"-{pid}-{identity}"
    place = NOT_A_LETTER.sub("-", host)[: LONGEST - len(end)].strip("-")
    return f"{place or 'host'}{end}"


def identity_of(incarnation: str) -> str:
    """What makes the name unique: shorter, where its place says nothing."""
    return incarnation.rpartition("-")[2]


def place_of(incarnation: str) -> str:
    """Where a process runs: "web-1:4711" (host and pid), or its name if that doesn't say."""
    found = WITH_PLACE.fullmatch(incarnation)
    return f"{found[1]}:{found[2]}" if found else incarnation
