"""What the pickle codec's signature is bound to, and how its secret is replaced."""

import functools
from typing import Any

import attrs
import pytest

from kew import QueueConfig, ResultUnreadableError, TaskFailedError, TaskQueueManager
from kew.adapters.clocks import SystemClock
from kew.adapters.codecs import PickleCodec
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.namespace import Namespace
from kew.adapters.memory.store import MemoryStore
from kew.app.ports import CodecError
from kew.bootstrap import Parts
from kew.domain.errors import InvalidConfigError

OLD, NEW = "the secret of last year", "the secret of this year"
RAN: list[Any] = []


def work(value: Any = None) -> Any:
    RAN.append(value)
    return value


def other(value: Any = None) -> Any:
    RAN.append(("other", value))


@pytest.mark.parametrize(
    "elsewhere",
    [("jobs:g", "a"), ("jobs:f", "b"), ("jobs:fa", ""), ("", "jobs:fa"), ("a", "jobs:f")],
)
def test_bytes_of_one_task_do_not_decode_for_another(elsewhere):
    codec = PickleCodec(NEW)
    mine = ("jobs:f", "a")
    payload, result = codec.encode_call(work, [1], {}, mine), codec.encode_result(1, work, mine)
    assert codec.decode_call(payload, work, mine) == ((1,), {})
    assert codec.decode_result(result, None, mine) == 1
    for read in (
        functools.partial(codec.decode_call, payload, work, elsewhere),
        functools.partial(codec.decode_result, result, None, elsewhere),
    ):
        with pytest.raises(CodecError, match="copied from another task"):
            read()


def test_a_former_secret_is_accepted_for_reading_and_never_signed_with():
    before, during, after = PickleCodec(OLD), PickleCodec(NEW, also_accept=[OLD]), PickleCodec(NEW)
    assert during.decode_result(before.encode_result("old")) == "old"
    assert after.decode_result(during.encode_result("new")) == "new"
    with pytest.raises(CodecError, match="also_accept"):
        before.decode_result(during.encode_result("new"))
    with pytest.raises(CodecError, match="also_accept"):
        after.decode_result(before.encode_result("old"))


@pytest.mark.parametrize(
    "also", ["a single secret, not a list", b"x" * 16, None, ["short"], [None]]
)
def test_further_secrets_are_checked_like_the_first_and_never_shown(also):
    with pytest.raises(InvalidConfigError) as caught:
        PickleCodec(NEW, also_accept=also)
    assert "a single secret" not in str(caught.value)


async def test_a_payload_that_was_moved_to_another_function_or_id_is_not_run():
    RAN.clear()
    namespace = Namespace()
    parts = Parts(
        store=MemoryStore(SystemClock(), namespace),
        wakeup=MemoryWakeup(namespace.hub),
        codec=PickleCodec(NEW),
    )
    async with TaskQueueManager(parts=parts) as manager:
        await manager.create_queue(QueueConfig("q"), work=False, functions=[work, other])
        for task_id, function in (("a", work), ("b", work), ("c", other), ("d", work)):
            await manager.submit_task(task_id, "q", "t", function, None, task_id)
        records = namespace.records
        for target in ("b", "c"):  # what someone with access to the store can do
            task = records[target]
            call = attrs.evolve(task.call, payload=records["a"].call.payload)
            records[target] = task.moved(call=call)
    async with TaskQueueManager(parts=parts) as manager:
        await manager.create_queue(QueueConfig("q"), functions=[work, other])
        for target in ("b", "c"):
            handle = manager.handle(await manager.get_task_status(target))
            with pytest.raises(TaskFailedError, match="copied from another task"):
                await handle.result(timeout=30)
        for target in ("a", "d"):
            handle = manager.handle(await manager.get_task_status(target))
            assert await handle.result(timeout=30) == target
        assert sorted(RAN) == ["a", "d"]
        records["d"] = records["d"].moved(result=records["a"].result)
        with pytest.raises(ResultUnreadableError, match="copied from another task"):
            await manager.get_task_status("d")


class Refused(Exception):
    """As many write it: pickle calls it with the one argument that `Exception` keeps."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")


def test_what_can_be_pickled_but_not_be_unpickled_is_refused_at_once():
    codec = PickleCodec("a" * 16)
    with pytest.raises(
        CodecError, match="argument 'value': it can be pickled, but not be unpickled"
    ):
        codec.encode_call(work, [{"error": Refused(5, "no")}], {})
    with pytest.raises(CodecError, match=r"result: .*missing 1 required positional.*__reduce__"):
        codec.encode_result(Refused(5, "no"), work)
