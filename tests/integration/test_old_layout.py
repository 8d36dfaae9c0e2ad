"""A queue whose state is of a layout that this version can't read, such as that of commit e6cc71e."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kew import QueueConfig, StoreUnsuitableError, TaskQueueManager
from tests.support import jobs
from tests.support.redis_process import connect

SETTINGS = "max_workers=20 max_size=1000 breaker_failures=1 breaker_reset_ms=60000 breaker_probes=1 max_retries=0"
OLD: dict[str, dict[Any, Any]] = {
    "without an edition": {"counts": "1 0 3 0 0 3 0 0 - 1750000000000 1750000000000"},
    "without counts": {"version": "1", "paused": "0"},
}
Call = Callable[[TaskQueueManager], Awaitable[object]]
CALLS: dict[str, Call] = {
    "create_queue": lambda manager: manager.create_queue(QueueConfig("orders")),
    "submit_task": lambda manager: manager.submit_task("t", "orders", "t", jobs.echo),
    "get_queue_status": lambda manager: manager.get_queue_status("orders"),
    "get_queue_statuses": lambda manager: manager.get_queue_statuses(),
    "delete_queue": lambda manager: manager.delete_queue("orders"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("layout", OLD)
async def test_an_error_says_what_to_do(clean_redis_url: str, layout: str, call: str):
    with contextlib.closing(connect(clean_redis_url)) as client:
        client.sadd("kew:queues", "orders")
        fields: dict[Any, Any] = {"settings": SETTINGS, "breaker": "closed 0 0 0 0", **OLD[layout]}
        client.hset("kew:{orders}:state", mapping=fields)
        async with TaskQueueManager(clean_redis_url) as manager:
            with pytest.raises(StoreUnsuitableError) as raised:
                await CALLS[call](manager)
        assert "kew:{orders}:state was written by a version of kew" in str(raised.value)
        assert "another namespace" in str(raised.value)
        assert client.hgetall("kew:{orders}:state") == {
            name.encode(): value.encode() for name, value in fields.items()
        }
