"""The payload of a task, for people: it is kept until the task completes, however large it is."""

import pytest

from kew.app.ports import ReadPayload
from tests.support.scene import Scene, failure, success

LARGE = bytes(range(256)) * 40


@pytest.mark.parametrize("payload", [b"", b"x", b"line\nline \x00", LARGE])
async def test_a_payload_is_read_while_its_task_waits_runs_and_after_it_failed(
    scene: Scene, payload: bytes
):
    await scene.declare()
    await scene.submit("a", payload=payload)
    assert await scene.store.do(ReadPayload("a")) == payload
    worker = await scene.worker("w1")
    [run] = await worker.claim(1)
    assert await scene.store.do(ReadPayload("a")) == payload
    await worker.settle(failure(run))
    assert await scene.store.do(ReadPayload("a")) == payload


@pytest.mark.parametrize("payload", [b"x", LARGE])
async def test_a_completed_task_keeps_no_payload(scene: Scene, payload: bytes):
    await scene.declare()
    await scene.submit("a", payload=payload)
    worker = await scene.worker("w1")
    [run] = await worker.claim(1)
    await worker.settle(success(run, result=LARGE))
    assert await scene.store.do(ReadPayload("a")) is None


async def test_the_payload_of_a_task_with_a_key_is_read_too(scene: Scene):
    await scene.declare()
    await scene.submit("a", key="acme", payload=LARGE)
    await scene.submit("b", key="acme", payload=b"small")
    assert await scene.store.do(ReadPayload("a")) == LARGE
    assert await scene.store.do(ReadPayload("b")) == b"small"


async def test_an_absent_task_has_no_payload(scene: Scene):
    assert await scene.store.do(ReadPayload("nothing")) is None
