"""`QueueFullError.retry_after`: how soon a full queue has room, by how fast it drains."""

import asyncio

import pytest

from kew import QueueConfig, QueueFullError
from kew.testing import SimulatedManager, run


def test_a_refusal_knows_how_fast_the_queue_drains_once_it_was_seen_full():
    async def scenario(manager: SimulatedManager) -> None:
        await manager.create_queue(QueueConfig("q", max_workers=1, max_size=4))

        @manager.task(queue="q")
        async def work() -> None:
            await asyncio.sleep(2)

        async def fill() -> QueueFullError:
            with pytest.raises(QueueFullError) as full:
                while True:
                    await work.submit()
            return full.value

        first = (await fill()).retry_after  # one task has started, some seconds ago at most
        assert first == pytest.approx(10, abs=0.1)
        await asyncio.sleep(10.5)  # in which five tasks start
        error = await fill()
        assert error.retry_after == pytest.approx(2.1, abs=0.2)
        assert f"try again in {error.retry_after:g} s" in str(error)
        calls = [{"task_func": work, "args": ()} for _ in range(3)]
        with pytest.raises(QueueFullError) as batch:
            await manager.submit_tasks("q", calls)
        assert batch.value.retry_after == pytest.approx(3 * 2.1, abs=0.6)

    run(scenario)
