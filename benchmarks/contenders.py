"""Who takes part: a library, the environment it is installed in, and the program that drives it."""

from __future__ import annotations

import attrs

KEW, KEW_UVLOOP, OLD_KEW, BARE = "kew", "kew (uvloop)", "kew 0.2.1", "one EVALSHA"


@attrs.frozen(kw_only=True)
class Contender:
    """`environment` names a file or folder in `pins/`; `loop` is the event loop of a Python program.

    `commit`: kew as it was then, else as it is in the working tree.
    """

    name: str
    environment: str
    program: str
    loop: str = "asyncio"
    commit: str = ""


ALL = (
    Contender(name=KEW, environment="kew", program="with_kew.py"),
    Contender(name=KEW_UVLOOP, environment="kew", program="with_kew.py", loop="uvloop"),
    Contender(name=OLD_KEW, environment="kew-0.2.1", program="with_kew_021.py"),
    Contender(name="arq", environment="arq", program="with_arq.py"),
    Contender(name="SAQ", environment="saq", program="with_saq.py"),
    Contender(name="taskiq", environment="taskiq", program="with_taskiq.py"),
    Contender(name="streaQ", environment="streaq", program="with_streaq.py"),
    Contender(name="BullMQ", environment="bullmq", program="with_bullmq.mjs", loop="node"),
    Contender(name="huey", environment="huey", program="with_huey.py"),
    Contender(name="litequeue", environment="litequeue", program="with_litequeue.py"),
    Contender(name=BARE, environment="kew", program="bare.py"),
)
OWN = (KEW, KEW_UVLOOP)
FILES = ("huey", "litequeue")  # queues in a SQLite file
QUEUES = tuple(each.name for each in ALL if each.name not in (BARE, *FILES))
ON_REDIS = (*QUEUES, BARE)
EVERYONE = tuple(each.name for each in ALL)


def chosen(peers: str, loop: str = "") -> list[Contender]:
    """Those that `peers` names (comma-separated, in any case; all if empty), and always kew itself.

    `loop` puts every Python program on that event loop.
    """
    wanted = {name.strip().lower() for name in peers.split(",") if name.strip()}
    known = {each.name.lower() for each in ALL}
    if wanted - known:
        raise SystemExit(
            f"no peer is called {', '.join(wanted - known)}; there are: {', '.join(EVERYONE)}"
        )
    found = [each for each in ALL if not wanted or each.name == KEW or each.name.lower() in wanted]
    if not loop:
        return found
    return [
        attrs.evolve(each, loop=loop)
        for each in found
        if each.loop != "node" and each.name != KEW_UVLOOP
    ]
