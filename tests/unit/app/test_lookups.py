"""Look-ups of one moment share a round trip."""

import asyncio

import pytest

from kew.app.lookups import MOST_IDS, Lookups
from kew.app.ports import Find, Refused
from kew.domain.errors import StoreUnavailableError, TaskUnreadableError
from kew.domain.task import Found, Task, Unreadable
from tests.support.tasks import task as make_task


class Records:
    """A store that has every task but "missing", can't read "broken", and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.at_once = self.most_at_once = 0
        self.is_away = False

    async def do(self, operation: Find) -> list[Found]:
        self.asked.append(list(operation.task_ids))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.is_away:
            raise Refused("away")
        there = {"missing": None, "broken": Unreadable("broken", "a bug")}
        return [there.get(each, make_task(each)) for each in operation.task_ids]


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def lookups(records: Records) -> Lookups:
    return Lookups(records)  # type: ignore[arg-type]  # it finds, and no more


async def test_all_that_is_asked_in_one_turn_is_one_round_trip(records: Records, lookups: Lookups):
    found = await asyncio.gather(*(lookups.find(each) for each in ("a", "missing", "b", "a")))
    assert [task and task.id for task in found] == ["a", None, "b", "a"]
    assert records.asked == [["a", "missing", "b"]]


async def test_many_are_looked_up_in_pieces_of_which_few_are_under_way(
    records: Records, lookups: Lookups
):
    ids = [str(n) for n in range(10 * MOST_IDS + 1)]
    found = await asyncio.gather(*map(lookups.find, ids))
    assert [task and task.id for task in found] == ids
    assert len(records.asked) == 11
    assert records.most_at_once == 2


async def test_a_record_that_cannot_be_read_is_an_error_of_those_who_asked_for_it(
    records: Records, lookups: Lookups
):
    good, bad = await asyncio.gather(
        lookups.find("a"), lookups.find("broken"), return_exceptions=True
    )
    assert isinstance(good, Task)
    assert isinstance(bad, TaskUnreadableError)
    assert records.asked == [["a", "broken"]]  # one round trip for both


async def test_a_store_that_does_not_answer_is_an_error_of_its_own_for_each(
    records: Records, lookups: Lookups, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kew.app.repeat.FIRST_PAUSE", 10.0)  # longer than its patience
    records.is_away = True
    errors = await asyncio.gather(lookups.find("a"), lookups.find("b"), return_exceptions=True)
    assert all(isinstance(error, StoreUnavailableError) for error in errors)
    assert errors[0] is not errors[1]


async def test_one_who_gives_up_leaves_the_others_their_answers(lookups: Lookups):
    first, second = (asyncio.create_task(lookups.find(each)) for each in ("a", "b"))
    await asyncio.sleep(0)
    first.cancel()
    task = await second
    assert task is not None
    assert task.id == "b"
