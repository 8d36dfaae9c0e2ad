"""Operations on many tasks at once: a queue is purged, dead letters are listed, replayed and purged.

They are rare in the mix, where a purge would cancel what other users wait for.
"""

from __future__ import annotations

from kew.simulation.feature import Feature, Workload
from kew.simulation.features.dead_letters import (
    fail_in_vain,
    look_at_groups,
    purge_some,
    replay_many,
)
from kew.simulation.features.steering import purge, submit_what_may_be_purged

WORKLOADS = (
    Workload(
        "bulk",
        (
            Feature("what may be purged", submit_what_may_be_purged, 2.0),
            Feature("purging", purge, 1.5),
            Feature("failing in vain", fail_in_vain, 1.0),
            Feature("groups", look_at_groups, 1.5),
            Feature("replaying many", replay_many, 1.0),
            Feature("purging some", purge_some, 1.5),
        ),
    ),
)
