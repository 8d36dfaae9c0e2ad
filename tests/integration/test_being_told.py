"""How soon work is begun by a process that could begin it: it is told, and need not look."""

import asyncio

from kew import QueueConfig
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import record_of

SECONDS_WITHOUT_A_LOOK = 10.0  # an idle worker looks by itself this seldom here


async def test_a_worker_that_runs_what_it_submitted_is_told_of_what_others_submit(
    store_url: str, managers: Managers
):
    worker = await managers(store_url, tick=SECONDS_WITHOUT_A_LOOK)
    submitter = await managers(store_url)
    await worker.create_queue(QueueConfig("q", max_workers=2), functions=[jobs.echo])
    await submitter.create_queue(QueueConfig("q", max_workers=2), work=False)
    await asyncio.sleep(0.1)  # until the worker has found nothing
    held = await worker.submit_task("held", "q", "t", asyncio.sleep, None, 60)
    async with asyncio.timeout(SECONDS_WITHOUT_A_LOOK / 2):
        await submitter.submit_task("other", "q", "t", jobs.echo, None, value="now")
        await record_of(submitter, "q", "other")
    assert await worker.cancel_task(held.task_id)
