"""Liveness: a queue drains by what its processes are told and by their claims' timers, with no poll behind.

Processes here do what real ones do: ask when told, when a timer ends, and when a slot frees. A notice that is missing,
or a wait that is too long, leaves a task behind that nobody will ever ask for.
"""

from random import Random

import attrs
import pytest

from kew.app.notices import TaskEnded, Woken
from kew.app.ports import (
    Command,
    Watch,
)
from kew.domain.requests import Settlement
from kew.domain.task import Submission, Task, pinned_name
from tests.support.scene import (
    PRESENCE_MS,
    Listener,
    Scene,
    Worker,
    call,
    failure,
    group,
    handed_back,
    success,
)

PINNED = pinned_name("w0", "closure")
CREW = {"w0": ("f", PINNED), "w1": ("f", "g"), "w2": ("g",)}
SLOTS = 2
LEASE_MS = 10_000_000  # nobody is lost here: what a dead process held is found by polling
SUBMITS = 60
ROUNDS = 5_000


@attrs.define(eq=False)
class Process:
    """One process: what it holds, whether it will ask now, and when it will ask by itself."""

    worker: Worker
    listener: Listener
    is_awake: bool = True
    asks_at: int | None = None
    held: list[Task] = attrs.field(factory=list)

    async def ask(self, now: int, *settlements: Settlement) -> None:
        """Claim for the free slots; what was settled is sent along."""
        self.is_awake = False
        want = SLOTS - len(self.held)
        request = self.worker.request(want, lease_ms=LEASE_MS)
        if settlements:
            grant = (await self.worker.settle(*settlements, claim=request)).grant
        else:
            grant = await self.worker.store.claim(self.worker.queue, request)
        assert grant is not None
        self.held += grant.tasks
        if len(grant.tasks) < want:
            self.asks_at = None if grant.wait_ms is None else now + grant.wait_ms

    def may_ask(self, now: int) -> bool:
        is_time = self.asks_at is not None and self.asks_at <= now
        return (self.is_awake or is_time) and len(self.held) < SLOTS


@attrs.define(eq=False)
class Crew:
    """Some processes at one queue, driven by chance."""

    scene: Scene
    random: Random
    processes: list[Process]
    submitted: int = 0
    fences: int = 0

    async def hear(self) -> None:
        """Let everything that was told arrive, and wake those who were told."""
        self.fences += 1
        fence = f"fence {self.fences}"
        await self.scene.submit(fence, queue="fences")
        for process in self.processes:
            await self.scene.store.do(Watch("fences", [fence], process.worker.incarnation))
        await self.scene.cancel(fence, queue="fences")
        for process in self.processes:
            while (notice := await process.listener.next()) != TaskEnded(fence):
                process.is_awake = process.is_awake or isinstance(notice, Woken)

    async def work(self) -> bool:
        """One thing that somebody does by himself; False: nobody has anything to do."""
        asking = [one for one in self.processes if one.may_ask(self.scene.now)]
        holding = [one for one in self.processes if one.held]
        if asking and (not holding or self.random.random() < 0.5):
            await self.random.choice(asking).ask(self.scene.now)
        elif holding:
            await self.settle_one(self.random.choice(holding))
        else:
            return False
        return True

    async def settle_one(self, process: Process) -> None:
        task = process.held.pop(self.random.randrange(len(process.held)))
        kinds = [success(task), success(task), failure(task), handed_back(task)]
        kinds += [failure(task, retry_after_ms=self.random.choice([0, 400, 3_000]))]
        settlement = self.random.choice(kinds)
        if self.random.random() < 0.7:
            await process.ask(self.scene.now, settlement)
        else:
            await process.worker.settle(settlement)
            process.is_awake = True

    async def disturb(self) -> None:
        """Something that a person or a submitter does."""
        if self.submitted < SUBMITS:
            calls = [self.call() for _ in range(self.random.choice([1, 1, 3]))]
            await self.scene.store.submit("orders", [group(*calls)])
        choice = self.random.random()
        if choice < 0.05:
            await self.scene.control(Command.PAUSE)
        elif choice < 0.15:
            await self.scene.control(Command.RESUME)
        elif choice < 0.25:
            await self.scene.cancel(f"t{self.random.randrange(SUBMITS)}")
        elif choice < 0.30:
            await self.scene.replay(f"t{self.random.randrange(SUBMITS)}")
        elif choice < 0.35:
            await self.declare(max_workers=self.random.choice([1, 2, 4]))

    def call(self) -> Submission:
        self.submitted += 1
        return call(
            f"t{self.submitted}",
            function=self.random.choice(["f", "f", "g", PINNED]),
            priority=self.random.choice([1, 2, 3]),
            delay_ms=self.random.choice([0, 0, 0, 200, 2_500]),
        )

    async def declare(self, max_workers: int) -> None:
        await self.scene.declare(max_workers=max_workers, breaker_failures=2, breaker_reset_ms=700)

    async def wait(self) -> bool:
        """Nobody has anything to do: until the earliest timer. False: there is none."""
        timers = [one.asks_at for one in self.processes if one.asks_at is not None]
        later = [at for at in timers if at > self.scene.now]
        if not later:
            return False
        await self.scene.advance(min(later) - self.scene.now)
        return True


async def crew_of(scene: Scene, seed: int) -> Crew:
    await scene.declare("fences")
    await scene.declare()
    processes = []
    for name, functions in CREW.items():
        listener = await scene.listen(name)
        worker = await scene.worker(name, *functions, ttl_ms=100 * PRESENCE_MS)
        processes.append(Process(worker, listener))
    crew = Crew(scene, Random(seed), processes)
    await crew.declare(max_workers=2)
    return crew


@pytest.mark.parametrize("seed", range(6))
async def test_a_queue_drains_by_notices_and_timers_alone(scene: Scene, seed: int):
    crew = await crew_of(scene, seed)
    while crew.submitted < SUBMITS:
        await crew.hear()
        if crew.random.random() < 0.3 or not await crew.work():
            await crew.disturb()
            await scene.advance(crew.random.choice([0, 0, 50, 300]))
    await scene.control(Command.RESUME)
    for _ in range(ROUNDS):
        await crew.hear()
        if not await crew.work() and not await crew.wait():
            break
    status = await scene.status()
    assert sum(status.waiting.values()) == 0, "tasks wait that nobody will ever ask for"
    assert status.held == 0
