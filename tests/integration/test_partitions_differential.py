"""A router over five memory stores and one memory store are given the same random operations, and compared.

`KEW_DIFFERENTIAL_OPERATIONS` and `KEW_DIFFERENTIAL_SEED` mean what they do in `test_differential.py`; a tenth of the
operations is made here.
"""

from random import Random

import pytest

from kew.adapters.memory.store import MemoryStore
from kew.app.partitions import PartitionedStore
from kew.domain.partitions import partition_of
from tests.integration.test_differential import BETWEEN_LOOKS, OPERATIONS, SEED
from tests.support.operations import QUEUES, Operations
from tests.support.partition_twins import PartitionTwins
from tests.support.scene import SteppedClock
from tests.support.stores import partitioned_scene

HERE = OPERATIONS // 10
PARTITIONS = 5


async def twins(random: Random, label: str) -> PartitionTwins:
    """Both, empty."""
    clock = SteppedClock()
    memory, stores = MemoryStore(clock), [MemoryStore(clock) for _ in range(PARTITIONS)]
    scene = partitioned_scene(stores, clock)
    router = scene.store
    assert isinstance(router, PartitionedStore)
    router.tend_next = lambda: None  # type: ignore[method-assign]
    made = PartitionTwins(
        memory=memory,
        clock=clock,
        redis=scene,
        client=None,
        label=label,
        operations=Operations(random, memory.namespace, clock.now_ms),
        high_water=clock.now,
        router=router,
        stores=stores,
    )
    await made.listen()
    return made


@pytest.mark.no_cover
@pytest.mark.timeout(max(120, OPERATIONS // 200))
async def test_random_operations_end_in_the_same_answers_and_the_same_state():
    assert len({partition_of(queue, PARTITIONS) for queue in QUEUES}) == len(QUEUES)
    label = f"KEW_DIFFERENTIAL_SEED={SEED} KEW_DIFFERENTIAL_OPERATIONS={OPERATIONS}"
    pair = await twins(Random(SEED), label)
    for step in range(1, HERE + 1):
        await pair.step(pair.operations.next())
        if step % BETWEEN_LOOKS == 0:
            await pair.compare_everything()
    await pair.compare_everything()
    await pair.redis.close()
