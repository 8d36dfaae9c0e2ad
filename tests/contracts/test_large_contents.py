"""Payloads and results of any size arrive whole, and only with what hands them to a run or to a reader of results."""

from typing import Any

import attrs
import pytest

from kew.app.ports import Find, Running, Watch
from kew.domain.task import Task, TaskStatus
from tests.support.scene import START_MS, Scene, success

SIZES = [0, 1, 1023, 1024, 1025, 300_000]
LARGE = bytes(range(256)) * 1_000
OTHER = LARGE[::-1]


def content(size: int) -> bytes:
    return (LARGE * 2)[:size]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, {"delay_ms": 10}, {"function": "@w1/f"}])
async def test_a_payload_of_any_size_reaches_the_run(
    scene: Scene, size: int, options: dict[str, Any]
):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("a", payload=content(size), **options)
    await scene.advance(10)
    assert (await worker.claim_one()).call.payload == content(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("payload", [b"", LARGE])
async def test_a_result_of_any_size_reaches_those_that_ask(scene: Scene, size: int, payload: bytes):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("a", payload=payload)
    await worker.succeed(await worker.claim_one(), content(size))
    (found,) = await scene.store.do(Find(["a"]))
    (watched,) = await scene.store.do(Watch("orders", ["a"], "w2"))
    assert isinstance(found, Task)
    assert (found.status, found.result) == (TaskStatus.COMPLETED, content(size))
    assert isinstance(watched, Task)
    assert watched.result == found.result


async def test_a_payload_stays_until_the_task_has_completed(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("a", payload=LARGE)
    request = worker.request(lease_ms=1_000)
    for _ in range(2):
        (granted,) = (await scene.store.claim("orders", request)).tasks
        assert granted.call.payload == LARGE
    await scene.advance(1_001)  # its lease ends
    await worker.fail(await worker.claim_one(), retry_after_ms=0)
    await worker.release(await worker.claim_one())
    await worker.fail(await worker.claim_one())
    await scene.replay("a")
    await scene.cancel("a")
    await scene.replay("a")
    last = await worker.claim_one()
    assert (last.call.payload, last.attempt) == (LARGE, 5)


async def test_what_is_read_has_no_payload(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    await scene.submit("small", payload=b"payload")
    await scene.submit("large", payload=LARGE)
    await worker.claim(2)
    found = await scene.store.do(Find(["small", "large"]))
    watched = await scene.store.do(Watch("orders", ["small", "large"], "w2"))
    running = await scene.store.do(Running("orders"))
    for task in (*found, *watched, *running):
        assert isinstance(task, Task)
        assert task.call.payload == b""


@pytest.mark.parametrize("second", [b"", b"small", OTHER])
async def test_an_id_that_is_used_again_has_the_contents_of_the_second_task(
    scene: Scene, second: bytes
):
    await scene.declare(task_ttl_ms=1_000)
    worker = await scene.worker()
    await scene.submit("a", payload=LARGE)
    await scene.cancel("a")
    await scene.advance(1_000)  # expired, and not removed
    await scene.submit("a", payload=second, nonce="second")
    task = await worker.claim_one()
    assert (task.call.payload, task.queued_at) == (second, START_MS + 1_000)
    await worker.succeed(task, b"done")
    assert (await scene.task("a")).result == b"done"


async def test_tasks_of_both_sizes_arrive_in_order(scene: Scene):
    await scene.declare()
    worker = await scene.worker()
    payloads = [content(size) for size in (5, 2_000, 0, 1_025, 7)]
    for n, payload in enumerate(payloads):
        await scene.submit(f"t{n}", payload=payload)
    tasks = await worker.claim(5)
    assert [task.call.payload for task in tasks] == payloads
    await worker.settle(*(success(task, task.call.payload[::-1]) for task in tasks))
    found = [await scene.task(task.id) for task in tasks]
    assert [task.result for task in found] == [payload[::-1] for payload in payloads]


async def test_an_answer_brings_as_much_as_fits_and_the_rest_comes_with_the_next(scene: Scene):
    await scene.declare(max_workers=100)
    worker = await scene.worker()
    ids = [f"t{n}" for n in range(12)]
    for task_id in ids:
        await scene.submit(task_id, payload=LARGE)
    tasks: list[Task] = []
    while len(tasks) < len(ids):
        tasks += await worker.claim(100)
    assert [task.id for task in tasks] == ids
    await worker.settle(*(success(task, LARGE) for task in tasks))
    for found in (
        await scene.store.do(Find(ids)),
        await scene.store.do(Watch("orders", ids, "w2")),
    ):
        assert [attrs.asdict(task)["result"] for task in found if task] == [LARGE] * 12
