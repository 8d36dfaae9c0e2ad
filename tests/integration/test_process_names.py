"""Redis's own list of its clients says which process each connection belongs to."""

from __future__ import annotations

import os
import socket

import pytest

from kew import QueueConfig, TaskQueueManager
from tests.support.redis_process import connect

ACL = (
    "ACL SETUSER nameless on >secret ~kew:* &kew:to:* +@all -client",
    "ACL DELUSER nameless",
)


async def returns() -> int:
    return 1


def clients_called(url: str, name: str) -> int:
    with connect(url) as client:
        return sum(one["name"] == name for one in client.client_list())


@pytest.mark.parametrize(
    ("options", "more", "name"),
    [
        ({"process_name": "web-1.eu:web/3"}, "", "web-1.eu:web/3"),
        ({"process_name": "wins"}, "?client_name=loses", "wins"),
        ({}, "?client_name=of%20the%20URL", "of-the-URL"),
        ({}, "", ""),
    ],
)
async def test_each_connection_has_the_name_of_its_process(
    clean_redis_url: str, options: dict[str, str], more: str, name: str
):
    name = name or f"{socket.gethostname()}:{os.getpid()}"
    async with TaskQueueManager(clean_redis_url + more, **options) as manager:  # type: ignore[arg-type]
        await manager.create_queue(QueueConfig("q"), functions=[returns])
        task = await manager.submit_task("a", "q", "t", returns)
        assert await manager.handle(task).result() == 1
        await manager.processes()
        assert clients_called(clean_redis_url, name) >= 3  # work, questions and notifications


async def test_a_server_that_refuses_the_name_serves_all_the_same(clean_redis_url: str):
    create, delete = ACL
    with connect(clean_redis_url) as client:
        client.execute_command(*create.split())
    try:
        url = clean_redis_url.replace("redis://", "redis://nameless:secret@")
        async with TaskQueueManager(url, process_name="mine") as manager:
            await manager.create_queue(QueueConfig("q"), functions=[returns])
            task = await manager.submit_task("a", "q", "t", returns)
            assert await manager.handle(task).result() == 1
            assert [one.name for one in await manager.processes()] == ["mine"]
        assert clients_called(clean_redis_url, "mine") == 0
    finally:
        with connect(clean_redis_url) as client:
            client.execute_command(*delete.split())
