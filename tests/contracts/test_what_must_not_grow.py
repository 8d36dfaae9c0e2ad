"""What people do again and again leaves nothing behind, also where no process claims."""

import pytest

from kew.app.ports import Command, Watch
from kew.domain.requests import Word
from tests.support.scene import Scene, group


async def test_a_task_keeps_the_processes_that_asked_last_for_its_end(scene: Scene):
    await scene.declare()
    await scene.submit("a")
    for n in range(40):
        await scene.store.do(Watch("orders", ["a"], f"w{n}"))
    assert (await scene.task("a")).watchers == tuple(f"w{n}" for n in range(8, 40))


@pytest.mark.parametrize("delay", [0, 60_000])
async def test_what_is_left_after_many_cancels_is_claimed_in_order(scene: Scene, delay: int):
    await scene.declare(max_size=1_000, max_workers=100)
    await scene.control(Command.PAUSE)
    for turn in range(30):
        ids = [f"{turn}-{n}" for n in range(20)]
        await scene.try_submit(group(*ids[:10], f"kept{turn:02}", *ids[10:]))
        for task_id in reversed(ids) if turn % 2 else ids:
            assert await scene.cancel(task_id) is Word.DONE
    await scene.submit("later", delay_ms=delay)
    assert await scene.waiting() == 31
    await scene.control(Command.RESUME)
    worker = await scene.worker()
    found = await worker.claim_ids(100)
    assert found[:30] == [f"kept{turn:02}" for turn in range(30)]
