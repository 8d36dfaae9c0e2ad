"""How many statements an operation takes doesn't grow with what waits."""

import asyncio
import contextlib
import functools
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from kew.adapters.sqlite.address import Address
from kew.adapters.sqlite.store import SqliteStore
from kew.adapters.sqlite.turns import Turns
from kew.app.ports import Declare, ReadPayload, Status, Submit
from kew.compat import override
from kew.domain.config import Settings
from tests.support.scene import Scene, SteppedClock, Worker, call, group, success
from tests.support.stores import sqlite_scene


@pytest.fixture(autouse=True)
def any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test use the store's connection, too."""
    connect: Any = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", functools.partial(connect, check_same_thread=False))


async def statements_of(path: Path, calls: int, **options: Any) -> list[int]:
    """The statements of a submit, a claim that gets all it may, one that gets nothing, and a settle."""
    scene = sqlite_scene(path)
    await scene.declare(max_workers=1000, max_size=100_000, key_workers=1)
    worker = await scene.worker()
    for n in range(calls):
        await scene.store.submit("orders", [group(call(f"t{n}", **options_of(n, options)))])
    await worker.claim(2)  # reads what is kept in memory
    counts: list[int] = []
    store: Any = scene.store
    store._writer._session.db.set_trace_callback(lambda sql: counts.__setitem__(-1, counts[-1] + 1))
    counts.append(0)
    await scene.submit("one more", **options_of(calls, options))
    counts.append(0)
    (first, *_) = await worker.claim(2)
    counts.append(0)
    await worker.settle(success(first))
    await nothing(scene, worker, counts)
    await scene.close()
    return counts


def options_of(n: int, options: dict[str, Any]) -> dict[str, Any]:
    """Each has a key of its own unless they say otherwise."""
    return {"key": f"k{n}", **options}


async def nothing(scene: Scene, worker: Worker, counts: list[int]) -> None:
    """A claim of another process that can run nothing of what waits."""
    other = await scene.worker("w2", "another function")
    counts.append(0)
    assert await other.claim(2) == []


@pytest.mark.parametrize("options", [{"key": ""}, {}], ids=["one line", "a key each"])
async def test_a_thousand_waiting_tasks_cost_no_more_statements_than_ten(
    tmp_path: Path, options: dict[str, Any]
):
    few = await statements_of(tmp_path / "few.db", 20, **options)
    many = await statements_of(tmp_path / "many.db", 1000, **options)
    assert many == few


async def test_many_tasks_at_once_take_few_statements_each(tmp_path: Path):
    """What all of them change is written once for the transaction."""
    scene = sqlite_scene(tmp_path / "kew.db")
    await scene.declare(max_workers=1000)
    worker = await scene.worker()
    seen: list[str] = []
    store: Any = scene.store
    store._writer._session.db.set_trace_callback(seen.append)
    await scene.submit(*(f"t{n}" for n in range(100)), payload=b"x")
    submitting = len(seen)
    tasks = await worker.claim(100)
    claiming = len(seen) - submitting
    await worker.settle(*(success(task) for task in tasks))
    settling = len(seen) - submitting - claiming
    await scene.close()
    assert (submitting // 100, claiming // 100, settling // 100) == (3, 1, 2)


async def test_what_arrives_while_another_process_writes_shares_the_next_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scene = sqlite_scene(tmp_path / "kew.db")
    await scene.declare()
    waits, goes_on = threading.Event(), threading.Event()
    begin = Turns.begin

    def held_up(self: Turns) -> None:
        waits.set()
        assert goes_on.wait(10)
        begin(self)

    monkeypatch.setattr(Turns, "begin", held_up)
    store: Any = scene.store
    seen: list[str] = []
    store._writer._session.db.set_trace_callback(seen.append)
    first = store._writer.ask(Submit("orders", [group(call("a"))]))
    assert await asyncio.to_thread(waits.wait, 10)
    others = [store._writer.ask(Submit("orders", [group(call(name))])) for name in "bc"]
    goes_on.set()
    await asyncio.gather(first, *others)
    assert seen.count("COMMIT") == 1
    assert await scene.waiting() == 3
    await scene.close()


async def looking_ahead(path: Path, keys: int) -> int:
    """The statements of a claim that gets nothing, since nothing is due."""
    scene = sqlite_scene(path)
    await scene.declare(key_workers=1, max_size=100_000)
    worker = await scene.worker()
    calls = [group(call(f"t{n}", key=f"k{n}", delay_ms=1000 + n)) for n in range(keys)]
    await scene.store.submit("orders", calls)
    await worker.ask(2)  # reads what is kept in memory
    seen: list[str] = []
    store: Any = scene.store
    store._writer._session.db.set_trace_callback(seen.append)
    grant = await worker.ask(2)
    await scene.close()
    assert grant.tasks == ()
    assert grant.wait_ms == 1000
    return len(seen)


async def test_a_claim_among_a_thousand_deferred_keys_asks_for_the_first_alone(tmp_path: Path):
    few = await looking_ahead(tmp_path / "few.db", 20)
    assert await looking_ahead(tmp_path / "many.db", 1000) == few


class HeldClock(SteppedClock):
    """A clock that holds up the operation that asks it, until the test goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    @override
    def now_ms(self) -> int:
        self.goes_on.wait(60)
        return self.now


async def test_operations_that_wait_share_a_transaction(tmp_path: Path):
    clock = HeldClock()
    store: Any = SqliteStore(Address(str(tmp_path / "kew.db"), "off"), "kew", clock)
    await store.do(Declare("orders", Settings(), "edition"))
    seen: list[str] = []
    store._writer._session.db.set_trace_callback(seen.append)
    held = store._writer.ask(Status("orders"))
    operations = [Submit("orders", (group(f"t{n}"),)) for n in range(5)]
    waiting = [store._writer.ask(operation) for operation in operations]
    clock.goes_on.set()
    await asyncio.gather(held, *waiting)
    await store.close()
    assert seen.count("COMMIT") <= 2
    assert sum(sql.lstrip().startswith("INSERT INTO tasks") for sql in seen) == 5


async def test_large_contents_are_not_kept_in_memory(tmp_path: Path):
    scene = sqlite_scene(tmp_path / "kew.db")
    await scene.declare()
    await scene.submit("small", payload=b"x" * 10)
    await scene.submit("large", payload=b"x" * 100_000)
    store: Any = scene.store
    seen: list[str] = []
    store._writer._session.db.set_trace_callback(seen.append)
    for task_id, reads in (("small", 0), ("large", 1), ("large", 1)):
        seen.clear()
        assert await scene.store.do(ReadPayload(task_id)) is not None
        assert sum("FROM tasks LEFT JOIN payloads" in sql for sql in seen) == reads
    await scene.close()


async def test_a_completed_task_leaves_no_payload_in_the_file(tmp_path: Path):
    scene = sqlite_scene(tmp_path / "kew.db")
    await scene.declare()
    await scene.submit("a", "b", payload=b"x" * 10)
    worker = await scene.worker()
    first, _ = await worker.claim(2)
    await worker.succeed(first)
    await scene.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "kew.db")) as db:
        assert db.execute("SELECT id FROM payloads").fetchall() == [("b",)]
