"""Emptying a queue, one bounded step at a time."""

from kew.domain.emptying import Emptied, empty
from kew.domain.queue import NOTHING
from kew.domain.task import TaskStatus
from tests.support.tasks import NOW, ended, queue, running, task


def test_waiting_tasks_are_cancelled_and_others_are_not():
    before = queue(
        task("a", ticket=1),
        task("b", ticket=2, ready_at=NOW + 9_000, status=TaskStatus.RETRY),
        running("c", ticket=3),
        ended("d", ticket=4),
    )
    change, emptied = empty(before, 4, 0, 10, NOW)
    assert emptied == Emptied(cancelled=tuple(change.tasks))
    assert [(one.id, one.status, one.ended_at) for one in change.tasks] == [
        ("a", TaskStatus.CANCELLED, NOW),
        ("b", TaskStatus.CANCELLED, NOW),
    ]


def test_a_step_is_bounded_and_passes_over_what_came_later():
    before = queue(task("late", ticket=3, ready_at=NOW - 1), task("a", ticket=1))
    assert empty(before, 2, 0, 1, NOW) == (NOTHING, Emptied(kept=1, more=True, skip=1))
    change, emptied = empty(before, 2, 1, 1, NOW)
    assert [one.id for one in change.tasks] == ["a"]
    assert emptied == Emptied(cancelled=tuple(change.tasks), more=True, skip=1)
    assert empty(before.after(change), 2, 1, 1, NOW) == (NOTHING, Emptied(skip=1))
