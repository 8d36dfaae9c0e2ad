"""One call at a time for all that want it done."""

import asyncio

import pytest

from kew.app.ports import Refused
from kew.app.single_flight import SingleFlight


class Door:
    """A call that ends when it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.endings: list[asyncio.Future[None]] = []
        self.once = SingleFlight(self._pass)

    async def _pass(self) -> None:
        self.calls += 1
        self.endings.append(asyncio.get_running_loop().create_future())
        await self.endings[-1]

    def wanted_by(self, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.once()) for _ in range(count)]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_ask_at_once_share_a_call():
    door = Door()
    tasks = door.wanted_by(300)
    await turns()
    door.endings[0].set_result(None)
    await asyncio.gather(*tasks)
    assert door.calls == 1


async def test_whoever_asks_after_its_end_has_a_call_of_its_own():
    door = Door()
    for n in range(2):
        (task,) = door.wanted_by(1)
        await turns()
        door.endings[n].set_result(None)
        await task
    assert door.calls == 2


async def test_all_of_them_are_told_of_an_error_and_it_is_over():
    door = Door()
    tasks = door.wanted_by(3)
    await turns()
    door.endings[0].set_exception(Refused("away"))
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in told] == ["away"] * 3
    (again,) = door.wanted_by(1)
    await turns()
    door.endings[1].set_result(None)
    await again


async def test_where_the_one_that_calls_is_cancelled_another_calls():
    door = Door()
    first, *others = door.wanted_by(3)
    await turns()
    first.cancel()
    await turns()
    door.endings[1].set_result(None)
    await asyncio.gather(*others)
    assert first.cancelled()
    assert door.calls == 2


async def test_one_that_waits_can_be_cancelled_and_the_others_are_told_all_the_same():
    door = Door()
    first, second, third = door.wanted_by(3)
    await turns()
    second.cancel()
    await turns()
    door.endings[0].set_result(None)
    await asyncio.gather(first, third)
    with pytest.raises(asyncio.CancelledError):
        await second
    assert door.calls == 1
