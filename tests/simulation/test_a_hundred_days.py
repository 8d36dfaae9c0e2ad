"""A hundred days of schedules on simulated time: each tick's task exists once, and none starts early.

It is autumn 2011: clocks change in Lord Howe (by half an hour), Berlin and New York, and Apia skips the 30th of
December. Nothing runs but the tickers of a few processes, which die, come back, lose answers, and believe that it is
minutes earlier or later; and the store's clock steps. `KEW_SCHEDULE_SEEDS` is how many such periods are tried (1 by
default), `KEW_SCHEDULE_DAYS` how long they last.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

import attrs
import pytest

from kew.adapters.memory.store import MemoryStore
from kew.app.ports import Clock, Declare, Operation, PutSchedule, StoreError, TaskStore, Tick
from kew.app.scheduling.ticker import Ticker
from kew.app.scheduling.timetables import times_of
from kew.compat import override
from kew.domain.config import Settings
from kew.domain.requests import Word
from kew.domain.schedule import Missed, Overlap, Schedule, due_in, tick_id
from kew.simulation.loop import SimulationLoop
from tests.support.scene import call

SEEDS = int(os.environ.get("KEW_SCHEDULE_SEEDS", "1"))
DAYS = int(os.environ.get("KEW_SCHEDULE_DAYS", "100"))
DAY, HOUR, MINUTE = 86_400.0, 3600.0, 60.0
START_MS = int(datetime(2011, 9, 26, tzinfo=UTC).timestamp() * 1000)
END_MS = START_MS + DAYS * int(DAY) * 1000
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia")
CRONS = ("30 2 * * *", "15 */4 * * *")
PROCESSES = 3
OFF: Final = (-300.0, -90.0, -5.0, 5.0, 90.0, 300.0)  # seconds by which a clock is wrong


@attrs.define
class StoreClock(Clock):
    """The store's clock, which somebody sets now and then."""

    loop: asyncio.AbstractEventLoop
    ahead: float = 0.0

    @override
    def now_ms(self) -> int:
        return START_MS + int((self.loop.time() + self.ahead) * 1000)


@attrs.define
class Wire:
    """The way to the store: answers take a while, and some requests and answers are lost."""

    store: MemoryStore
    clock: StoreClock
    random: Random
    submitted: list[tuple[str, int]]

    async def do(self, operation: Operation[Any]) -> Any:
        await self._travel()
        answer = await self.store.do(operation)
        if isinstance(operation, Tick) and answer.word is Word.DONE and operation.commit.call:
            self.submitted.append((operation.commit.call.id, self.clock.now_ms()))
        await self._travel()
        return answer

    async def _travel(self) -> None:
        await asyncio.sleep(self.random.choice((0.001, 0.01, 0.2)))
        if self.random.random() < 0.02:
            raise StoreError("lost on its way")


async def never(_queue: str, _task_id: str) -> None:
    await asyncio.Event().wait()


def schedules() -> Iterator[Schedule]:
    common: dict[str, Any] = {
        "queue": "q",
        "overlap": Overlap.ALLOW,
        "missed": Missed.ALL,
        "catch_up_ms": int(7 * DAY) * 1000,
        "starts_at": START_MS,
        "ends_at": END_MS,
        "call": call("template"),
    }
    for zone in ZONES:
        for number, cron in enumerate(CRONS):
            yield Schedule(name=f"{zone}/{number}", cron=cron, tz=zone, **common)
    yield Schedule(name="interval", every_ms=7 * 3_600_000, **common)


@attrs.define
class Processes:
    """Those that live, by number."""

    wire: Wire
    random: Random
    living: dict[int, Ticker] = attrs.field(factory=dict)

    def start(self, number: int) -> None:
        if number in self.living:
            return
        store = cast("TaskStore", self.wire)
        ticker = Ticker(store, lambda: ["q"], never, poll=10 * MINUTE)
        self.living[number] = ticker
        ticker.start()

    async def come_and_go(self) -> None:
        """One dies every few hours, whatever it is doing, and comes back; now and then all of them do."""
        while True:
            await asyncio.sleep(self.random.expovariate(1 / (5 * HOUR)))
            gone = [self.random.randrange(PROCESSES)]
            if self.random.random() < 0.1:
                gone = list(range(PROCESSES))
            for number in gone:
                ticker = self.living.pop(number, None)
                if ticker is not None:
                    ticker.close()
            await asyncio.sleep(self.random.choice((1.0, 10 * MINUTE, 6 * HOUR)))
            for number in gone:
                self.start(number)

    async def be_off(self) -> None:
        """The clock of a host jumps, so that its process takes another time for the store's."""
        while True:
            await asyncio.sleep(self.random.expovariate(1 / (6 * HOUR)))
            for ticker in self.living.values():
                ticker._ahead_ms += self.random.choice(OFF) * 1000
                ticker._is_changed.set()


async def step_the_clock(clock: StoreClock, random: Random) -> None:
    while True:
        await asyncio.sleep(random.expovariate(1 / (8 * HOUR)))
        clock.ahead += random.choice(OFF)


async def live_through(loop: SimulationLoop, seed: int) -> tuple[list[tuple[str, int]], set[str]]:
    """Each task that was submitted, and when by the store's clock; and the ids of all that exist."""
    random = Random(f"schedules:{seed}")
    clock = StoreClock(loop)
    store = MemoryStore(clock)
    wire = Wire(store, clock, random, [])
    await store.do(Declare("q", Settings(max_size=1_000_000), "first"))
    for one in schedules():
        assert await store.do(PutSchedule(one, "first")) is Word.DONE
    processes = Processes(wire, random)
    for number in range(PROCESSES):
        processes.start(number)
    trouble = (processes.come_and_go(), processes.be_off(), step_the_clock(clock, random))
    streams = [asyncio.ensure_future(one) for one in trouble]
    await asyncio.sleep(DAYS * DAY)
    for stream in streams:
        stream.cancel()
    for number in range(PROCESSES):
        processes.start(number)
    clock.ahead = max(clock.ahead, 0.0)  # so that the last ticks are due
    await asyncio.sleep(12 * HOUR)
    return wire.submitted, set(store.namespace.records)


def wanted() -> set[str]:
    """The ids of all ticks, by the table of each schedule alone."""
    found = set()
    for one in schedules():
        times, at = times_of(one), START_MS  # when they are put
        while (tick := times.after(at)) is not None and tick < END_MS:
            found.add(tick_id(one.name, tick))
            at = tick
    return found


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(SEEDS))
def test_each_tick_of_a_hundred_days_is_one_task_and_none_is_early(seed: int):
    with SimulationLoop(seed, max_steps=1_000_000_000, fatal=(AssertionError,)) as loop:
        submitted, existing = loop.run(live_through(loop, seed))
    times = Counter(task_id for task_id, _ in submitted)
    assert {task_id: count for task_id, count in times.items() if count > 1} == {}
    early = [task_id for task_id, at in submitted if at < (due_in(task_id) or at + 1)]
    assert early == []
    assert existing == times.keys() == wanted()


def local_days(name: str, number: Callable[[datetime], str]) -> Counter[str]:
    (one,) = (each for each in schedules() if each.name == f"{name}/0")
    zone, times, at = ZoneInfo(name), times_of(one), START_MS - 1
    found: Counter[str] = Counter()
    while (tick := times.after(at)) is not None and tick < END_MS:
        found[number(datetime.fromtimestamp(tick / 1000, zone))] += 1
        at = tick
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_schedule_has_one_tick_on_each_day_that_the_zone_has(zone: str):
    days = local_days(zone, lambda moment: moment.date().isoformat())
    skipped = {"2011-12-30"} if zone == "Pacific/Apia" else set()
    assert set(days) & skipped == set()
    assert len(days) >= min(DAYS, 100) - 2
    twice = {day for day, count in days.items() if count > 1}
    assert twice <= {"2011-12-31"}, "what the skipped day would have had comes right after it"
