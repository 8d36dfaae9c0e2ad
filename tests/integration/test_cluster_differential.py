"""A Cluster and one memory store are given the same random operations, and compared.

`KEW_DIFFERENTIAL_OPERATIONS` and `KEW_DIFFERENTIAL_SEED` mean what they do in `test_differential.py`; a fiftieth of the
operations is made here.
"""

from random import Random

import pytest

from kew.adapters.memory.store import MemoryStore
from kew.app.partitions import PartitionedStore
from kew.domain.partitions import partition_of
from tests.integration.test_differential import BETWEEN_LOOKS, OPERATIONS, SEED
from tests.support.cluster_twins import ClusterTwins
from tests.support.clusters import Cluster
from tests.support.operations import QUEUES, Operations
from tests.support.redis_source import any_binary
from tests.support.scene import SteppedClock
from tests.support.stores import cluster_scene

HERE = OPERATIONS // 50
PARTITIONS = 5


@pytest.mark.no_cover
@pytest.mark.timeout(max(120, OPERATIONS // 200))
async def test_random_operations_have_the_same_answers():
    assert len({partition_of(queue, PARTITIONS) for queue in QUEUES}) == len(QUEUES)
    label = f"KEW_DIFFERENTIAL_SEED={SEED} KEW_DIFFERENTIAL_OPERATIONS={OPERATIONS}"
    cluster = Cluster.start(any_binary(), shards=2, replicas=0)
    try:
        async with cluster_scene(cluster, PARTITIONS) as scene:
            clock, router = SteppedClock(), scene.store
            memory = MemoryStore(clock)
            assert isinstance(router, PartitionedStore)
            router.tend_next = lambda: None  # type: ignore[method-assign]
            await router.open()
            pair = ClusterTwins(
                memory=memory,
                clock=clock,
                redis=scene,
                client=None,
                label=label,
                operations=Operations(Random(SEED), memory.namespace, clock.now_ms),
                high_water=clock.now,
                router=router,
            )
            for step in range(1, HERE + 1):
                await pair.step(pair.operations.next())
                if step % BETWEEN_LOOKS == 0:
                    await pair.compare_everything()
            await pair.compare_everything()
            await router.close()
    finally:
        cluster.stop()
