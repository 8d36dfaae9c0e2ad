"""The SQLite store and the memory store are given the same random operations; the file is compared with the memory.

`KEW_DIFFERENTIAL_OPERATIONS` and `KEW_DIFFERENTIAL_SEED` mean what they do in `test_differential.py`; one in fifty of
the operations is made here.
"""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from kew.adapters.memory.store import MemoryStore
from tests.integration.test_differential import BETWEEN_LOOKS, OPERATIONS, SEED
from tests.support.operations import Operations
from tests.support.scene import SteppedClock
from tests.support.sqlite_twins import SqliteTwins
from tests.support.stores import sqlite_scene

HERE = OPERATIONS // 50


@contextlib.asynccontextmanager
async def twins(path: Path, random: Random, label: str) -> AsyncIterator[SqliteTwins]:
    """Both stores, empty."""
    clock = SteppedClock()
    memory, scene = MemoryStore(clock), sqlite_scene(path)
    await scene.store.open()
    client = sqlite3.connect(path, isolation_level=None)
    made = SqliteTwins(
        memory=memory,
        clock=clock,
        redis=scene,
        client=client,
        label=label,
        operations=Operations(random, memory.namespace, clock.now_ms),
        high_water=clock.now,
    )
    await made.listen()
    try:
        yield made
    finally:
        client.close()
        await scene.close()


@pytest.mark.no_cover
@pytest.mark.timeout(max(120, OPERATIONS // 200))
async def test_random_operations_end_in_the_same_answers_and_the_same_state(tmp_path: Path):
    label = f"KEW_DIFFERENTIAL_SEED={SEED} KEW_DIFFERENTIAL_OPERATIONS={OPERATIONS}"
    async with twins(tmp_path / "kew.db", Random(SEED), label) as pair:
        for step in range(1, HERE + 1):
            await pair.step(pair.operations.next())
            if step % BETWEEN_LOOKS == 0:
                await pair.compare_everything()
        await pair.compare_everything()
