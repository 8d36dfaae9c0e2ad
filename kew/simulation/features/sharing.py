"""Tasks that need a session of their own, from a pool that their process shares (with the extra `depends`)."""

from __future__ import annotations

from importlib.util import find_spec

from kew.simulation.feature import COMPLETED, MAIN, TIGHT, Feature, User, Workload
from kew.simulation.sharing import FEATURE, MANY_RETRIES, WORKLOAD


async def submit_sharing(user: User) -> None:
    """Several at once, so that the first ones of a process meet while the pool opens."""
    if user.host.sharing is None:
        return
    for _ in range(user.random.choice((1, 3))):
        asked = user.expect(user.random.choice((MAIN, TIGHT)), COMPLETED, max_retries=MANY_RETRIES)
        await user.submit(asked, user.script(), function=user.host.sharing)


FEATURES: tuple[Feature, ...] = ()
WORKLOADS: tuple[Workload, ...] = ()
LEFT_OUT = ""
if find_spec("uncalled_for"):
    FEATURES = (Feature(FEATURE, submit_sharing, 0.8),)
    WORKLOADS = (Workload(WORKLOAD, (Feature(FEATURE, submit_sharing),)),)
else:
    LEFT_OUT = f"{WORKLOAD}: it needs an extra (pip install 'kew[depends]')"
