"""Functions that one process alone has registered, while it was serving: no other process can run their tasks.

If the store loses the announcement, the process must announce them again, or the tasks wait forever.
"""

from __future__ import annotations

from kew.simulation.feature import COMPLETED, MAIN, TIGHT, Feature, User, Workload
from kew.simulation.handlers import OWN, own_name, perform_here


async def submit_own(user: User) -> None:
    """A task of a function that is loaded when it is first needed, as a plugin is."""
    if user.host.works:
        queue = user.random.choice((MAIN, TIGHT))
        asked = user.expect(queue, COMPLETED)
        user.manager.register(perform_here, name=own_name(user.host, user.random.randrange(OWN)))
        await user.submit(asked, user.script(), function=perform_here)


WORKLOADS = (Workload("functions", (Feature("own functions", submit_own),)),)
