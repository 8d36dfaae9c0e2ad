"""Who is next: a total order, by priority, readiness and ticket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kew.domain.ordering import is_due, order_key
from kew.domain.task import Task, TaskStatus
from tests.support.tasks import NOW, call, task


def waiting(priority: int, ready_at: int, ticket: int) -> Task:
    return task(f"t{ticket}", ready_at=ready_at, ticket=ticket).moved(
        call=call(f"t{ticket}", priority=priority)
    )


tasks = st.lists(
    st.builds(waiting, st.integers(1, 3), st.integers(0, 3), st.integers(1, 20)),
    unique_by=lambda one: one.ticket,
    max_size=12,
)


@given(tasks)
def test_no_two_tasks_are_equally_next(queue: list[Task]) -> None:
    assert len({order_key(one) for one in queue}) == len(queue)


@given(tasks, st.randoms())
def test_the_order_does_not_depend_on_how_tasks_came(queue: list[Task], random: object) -> None:
    shuffled = list(queue)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sorted(shuffled, key=order_key) == sorted(queue, key=order_key)


def test_priority_goes_before_readiness_and_readiness_before_the_ticket() -> None:
    first, second, third, last = (
        waiting(1, 9, 9),
        waiting(2, 1, 8),
        waiting(2, 2, 3),
        waiting(2, 2, 4),
    )
    assert sorted([last, third, second, first], key=order_key) == [first, second, third, last]


def test_a_task_is_due_from_its_ready_time_on() -> None:
    assert [is_due(task(ready_at=NOW), now) for now in (NOW - 1, NOW, NOW + 1)] == [
        False,
        True,
        True,
    ]


def test_only_a_waiting_task_is_due() -> None:
    due = {status for status in TaskStatus if is_due(task(status=status), NOW)}
    assert due == {TaskStatus.QUEUED, TaskStatus.RETRY}
