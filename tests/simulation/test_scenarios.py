"""What the simulation found in kew, each reduced to the few steps that matter. docs/simulation.md lists them."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from random import Random
from typing import Any, TypeVar

import pytest

from kew import GiveUp, QueueConfig, TaskQueueManager
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.namespace import Namespace
from kew.adapters.memory.store import MemoryStore
from kew.app.inspector import purged
from kew.app.ports import Ambiguous, Declare, Operation, Replay, Settle, Submit
from kew.app.working.context import TaskContext
from kew.bootstrap import Parts
from kew.domain.errors import QueueProcessorError, SubmitUncertainError
from kew.simulation.chance import InlineThreads, NoWatchdog, SeededEntropy, StoreClock
from kew.simulation.hosts import Host
from kew.simulation.loop import SimulationLoop
from kew.simulation.port import FaultyStore
from kew.simulation.processes import SimulatedProcess

Interference = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
NEVER = 3600.0
SELDOM = 10.0


A = TypeVar("A")


class Wire:
    """Stands for the network: a test may interfere with an operation's next calls, in order."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.interferences: dict[type[Operation[Any]], list[Interference]] = {}

    def next(self, operation: type[Operation[Any]], *interferences: Interference) -> None:
        self.interferences.setdefault(operation, []).extend(interferences)

    async def call(self, _host: Host, operation: Operation[A]) -> A:
        await asyncio.sleep(0.001)
        planned = self.interferences.get(type(operation))
        execute = partial(self.store.do, operation)
        answer: A = await (planned.pop(0)(execute) if planned else execute())
        return answer


class Stage:
    """One namespace, and managers in front of it."""

    def __init__(self, loop: SimulationLoop) -> None:
        self.loop = loop
        self.namespace = Namespace()
        self.host = Host("p0", works=True, knows_all=True)
        self.wires: list[Wire] = []

    async def manager(
        self, number: int = 0, wire: Wire | None = None, **options: Any
    ) -> tuple[TaskQueueManager, Wire]:
        wire = wire or Wire(self.store())
        random = Random(number)
        parts = Parts(
            store=FaultyStore(self.host, wire),
            wakeup=MemoryWakeup(self.namespace.hub),
            entropy=SeededEntropy(random),
            threads=InlineThreads(random),
            uptime=None,
            watchdog=NoWatchdog(),
        )
        manager = TaskQueueManager(parts=parts, tick=SELDOM, **options)
        await manager.initialize()
        return manager, wire

    def store(self) -> MemoryStore:
        return MemoryStore(StoreClock(self.loop.time), self.namespace)


def play(scene: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
    with SimulationLoop(0, "fifo") as loop:
        loop.run(scene(Stage(loop)))


async def wait_long() -> None:
    await asyncio.sleep(1000)


async def no_answer(_execute: Callable[[], Awaitable[Any]]) -> None:
    raise Ambiguous("no reply")


def test_two_queues_of_one_process_never_share_a_leases_identity():
    async def scene(stage: Stage) -> None:
        manager, _ = await stage.manager()
        for name in ("a", "b"):
            await manager.create_queue(QueueConfig(name))
            await manager.submit_task(name, name, "t", wait_long)
        await asyncio.sleep(1)
        leases = {task.lease for task in stage.namespace.records.values()}
        assert "" not in leases
        assert len(leases) == 2

    play(scene)


def test_a_process_that_stood_still_since_the_grant_does_not_begin_the_run():
    tokens: list[int] = []

    async def note_token() -> None:
        tokens.append(TaskContext.current().fencing_token)

    async def scene(stage: Stage) -> None:
        process = SimulatedProcess(stage.loop, "p0")
        stalls = [60.0]

        async def stall_once(_told: object) -> None:
            if stalls:
                process.stall(stalls.pop())
                await asyncio.sleep(0)

        async def program() -> None:
            manager, _ = await stage.manager(on_task_start=stall_once)
            await manager.create_queue(QueueConfig("q", lease=2.0), functions=[note_token])
            await manager.submit_task("t", "q", "t", note_token)

        process.spawn(program(), name="program")
        await asyncio.sleep(100)

    play(scene)
    assert tokens == [2], "the first lease ended while the process stood still"


def test_full_is_no_certain_answer_while_an_earlier_sending_may_yet_arrive():
    async def scene(stage: Stage) -> None:
        manager, wire = await stage.manager()
        await manager.create_queue(QueueConfig("q", max_size=1), work=False)
        await manager.submit_task("first", "q", "t", wait_long)
        wire.next(Submit, no_answer)
        with pytest.raises(SubmitUncertainError):
            await manager.submit_task("second", "q", "t", wait_long)

    play(scene)


def test_a_submitter_of_a_lost_queue_that_cannot_be_declared_again_gets_an_error():
    async def scene(stage: Stage) -> None:
        manager, wire = await stage.manager(patience=1.0)
        await manager.create_queue(QueueConfig("q"), work=False)
        await manager.submit_task("before", "q", "t", wait_long)
        await purged(wire.store, "q")
        wire.next(Declare, no_answer)
        async with asyncio.timeout(60):
            with pytest.raises(QueueProcessorError):
                await manager.submit_task("after", "q", "t", wait_long)

    play(scene)


def test_a_wake_that_meets_a_claim_on_its_way_is_not_forgotten():
    async def scene(stage: Stage) -> None:
        worker, wire = await stage.manager(1)
        submitter, _ = await stage.manager(2)
        await worker.create_queue(QueueConfig("q", max_workers=1))
        await submitter.create_queue(QueueConfig("q", max_workers=1), work=False)

        async def note() -> None:
            ran.append(stage.loop.time())

        ran: list[float] = []
        worker.register(note, name="note")
        submitter.register(note, name="note")

        async def answer_late(execute: Callable[[], Awaitable[Any]]) -> Any:
            """The store grants nothing; before the worker hears of it, a task comes and the worker is woken."""
            settled = await execute()
            await submitter.submit_task("second", "q", "t", note)
            await asyncio.sleep(0.5)
            return settled

        await asyncio.sleep(1)
        wire.next(Settle, answer_late)
        await worker.submit_task("first", "q", "t", note)
        await asyncio.sleep(5)
        assert len(ran) == 2
        assert ran[1] - ran[0] < 1

    play(scene)


def test_a_wake_up_reaches_a_process_that_can_run_the_task():
    async def scene(stage: Stage) -> None:
        other, _ = await stage.manager(1)
        able, _ = await stage.manager(2)
        submitter, _ = await stage.manager(3)

        async def note() -> None:
            ran.append(stage.loop.time())

        ran: list[float] = []
        other.register(wait_long, name="wait")
        await other.create_queue(QueueConfig("q"))
        await asyncio.sleep(1)  # so it is the one that has been idle longest
        able.register(note, name="note")
        await able.create_queue(QueueConfig("q"))
        submitter.register(note, name="note")
        await submitter.create_queue(QueueConfig("q"), work=False)
        await asyncio.sleep(1)
        asked_at = stage.loop.time()
        await submitter.submit_task("t", "q", "t", note)
        await asyncio.sleep(5)
        assert ran
        assert ran[0] - asked_at < 1

    play(scene)


def test_a_repeated_replay_makes_a_task_wait_once():
    async def answer_after_it_failed_again(execute: Callable[[], Awaitable[Any]]) -> None:
        await execute()
        await asyncio.sleep(1)
        raise Ambiguous("no reply")

    async def scene(stage: Stage) -> None:
        manager, wire = await stage.manager()
        attempts: list[int] = []

        async def fail() -> None:
            attempts.append(TaskContext.current().attempt)
            raise GiveUp("no such account")

        await manager.create_queue(QueueConfig("q"))
        await manager.submit_task("t", "q", "t", fail)
        await asyncio.sleep(1)
        wire.next(Replay, answer_after_it_failed_again)
        assert await manager.replay_task("t")
        await asyncio.sleep(1)
        assert attempts == [1, 2]

    play(scene)


def test_an_event_loop_that_goes_away_under_a_submit_leaves_it_in_silence():
    async def hang(_execute: Callable[[], Awaitable[Any]]) -> None:
        await asyncio.sleep(NEVER)

    async def scene(stage: Stage) -> None:
        manager, wire = await stage.manager()
        await manager.create_queue(QueueConfig("q"))
        await asyncio.sleep(1)
        wire.next(Submit, hang)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await manager.submit_task("t", "q", "t", wait_long)

    play(scene)  # pytest makes a failure of what a closed coroutine raises
