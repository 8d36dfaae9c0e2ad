"""The two protocols of Redis: calls use RESP2, and the subscription RESP3 where the server has it."""

import contextlib

from kew import QueueConfig
from tests.conftest import PrivateRedis
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import end_of, submit
from tests.support.redis_process import connect


async def test_the_subscription_alone_speaks_resp3(private_redis: PrivateRedis, managers: Managers):
    server = private_redis()
    manager = await managers(f"{server.url}?protocol=3")
    await manager.create_queue(QueueConfig("q"))
    await submit(manager, "a", jobs.echo, value=1)
    assert (await end_of(manager, "a")).result == 1
    assert (await manager.get_queue_status("q"))["notifications"] == "ok"
    with contextlib.closing(connect(server.url)) as client:
        listed = [each for each in client.client_list() if each["cmd"] != "client|list"]
    assert {each["resp"] for each in listed if each["sub"] == "1"} == {"3"}
    assert {each["resp"] for each in listed if each["sub"] == "0"} == {"2"}
