"""Outboxes of queues that this process did not create go when they are idle."""

import asyncio

import pytest

from kew import QueueNotFoundError, TaskQueueManager
from kew.app.submitting import remote_outboxes
from tests.support import jobs


async def test_names_of_unknown_queues_do_not_add_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote_outboxes, "KEPT", 0.01)
    async with TaskQueueManager("memory://") as manager:
        outboxes = manager._here().submitter._remote
        for n in range(20):
            with pytest.raises(QueueNotFoundError):
                await manager.submit_task(f"t{n}", f"nowhere{n}", "test", jobs.echo, 1, n)
        assert len(outboxes.all()) > 0
        async with asyncio.timeout(30):
            while outboxes.all():  # noqa: ASYNC110 - a timer ends it
                await asyncio.sleep(0.01)
