"""The alarm of a worker: the earliest instant holds, until a later answer of the store says otherwise."""

import asyncio
from collections.abc import Callable

import pytest

from kew.app.working.alarm import Alarm
from kew.testing import SimulatedManager, run


class Bell:
    """Notes when it rang, in seconds since it was made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.rang: list[float] = []
        self.alarm = Alarm(lambda: self.rang.append(self.now))

    @property
    def now(self) -> float:
        return round(self._loop.time() - self._began, 3)

    def answered(self, seconds: float | None, *, asked: float) -> None:
        """An answer to what was asked `asked` seconds ago."""
        self.alarm.answered(seconds, asked_at=self._loop.time() - asked)


def rings(story: Callable[[Bell], None], *, before: float | None = None) -> list[float]:
    """When it rings after `story`, told one second after an alarm `before` was set."""

    async def told(_: SimulatedManager) -> list[float]:
        bell = Bell()
        if before is not None:
            bell.alarm.set(before)
        await asyncio.sleep(1)
        story(bell)
        await asyncio.sleep(100)
        return bell.rang

    return run(told)


@pytest.mark.parametrize(("first", "second", "rang"), [(10, 20, 10), (20, 10, 11)])
def test_the_earlier_of_two_alarms_rings_and_it_rings_once(
    first: float, second: float, rang: float
) -> None:
    assert rings(lambda bell: bell.alarm.set(second), before=first) == [rang]


def test_an_alarm_that_has_rung_is_no_obstacle_to_the_next() -> None:
    assert rings(lambda bell: bell.alarm.set(5), before=0.5) == [0.5, 6]


def test_the_answer_to_what_was_asked_later_takes_its_place() -> None:
    assert rings(lambda bell: bell.answered(20, asked=0.5), before=10) == [21]
    assert rings(lambda bell: bell.answered(None, asked=0.5), before=10) == []


def test_an_answer_that_may_be_older_takes_nothing_away() -> None:
    assert rings(lambda bell: bell.answered(20, asked=1.5), before=10) == [10]
    assert rings(lambda bell: bell.answered(5, asked=1.5), before=10) == [6]
    assert rings(lambda bell: bell.answered(None, asked=1.5), before=10) == [10]


def test_a_cancelled_alarm_is_silent() -> None:
    assert rings(lambda bell: bell.alarm.cancel(), before=10) == []
