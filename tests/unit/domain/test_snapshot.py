"""The plainest view of a queue: what each look-up finds, and that a change makes a new value."""

from __future__ import annotations

import attrs

from kew.domain.config import Settings
from kew.domain.queue import Change
from kew.domain.snapshot import Snapshot
from kew.domain.task import Task, TaskStatus
from kew.domain.view import QueueState
from tests.support.tasks import NOW, call, ended, queue, running, task

full = queue(
    task("soon", ticket=1, ready_at=NOW + 5),
    task("later", ticket=2, ready_at=NOW + 9, status=TaskStatus.RETRY),
    task("now", ticket=3, ready_at=NOW),
    task("past", ticket=4, ready_at=NOW - 5),
    task("other", ticket=5, ready_at=NOW - 9).moved(call=call("other", function="shop:ship")),
    running("mine", ticket=6, token=1, lease="a.0.1.1", lease_until=NOW + 1),
    running("lost", ticket=7, token=2, lease="a.1.1.1", lease_until=NOW),
    running("gone", ticket=8, token=3, lease="b.0.1.1", lease_until=NOW - 1),
    ended("done", ticket=9, token=4, ready_at=NOW + 1),
    lanes={"a.0": 7},
)


def names(tasks: object) -> list[str]:
    return [one.id for one in tasks]  # type: ignore[attr-defined]


def test_it_finds_a_record_by_its_id() -> None:
    assert full.find("now") is full.tasks["now"]
    assert full.find("nobody") is None


def test_it_counts_what_waits_and_what_is_held() -> None:
    assert (full.waiting(), full.held()) == (5, 3)


def test_it_lists_in_order_what_is_due_and_can_be_run() -> None:
    assert names(full.ready("a", NOW, 9)) == ["past", "now"]
    assert names(full.ready("a", NOW, 1)) == ["past"]
    assert names(full.ready("a", NOW + 9, 9)) == ["past", "now", "soon", "later"]


def test_a_process_is_offered_what_it_knows() -> None:
    learned = attrs.evolve(full, known={"c": frozenset({"shop:ship"})})
    assert names(learned.ready("c", NOW, 9)) == ["other"]
    assert names(learned.ready("a", NOW, 9)) == []


def test_it_lists_ended_leases_earliest_first() -> None:
    assert names(full.overdue(NOW, 9)) == ["gone", "lost"]
    assert names(full.overdue(NOW, 1)) == ["gone"]
    assert names(full.overdue(NOW + 1, 9)) == ["gone", "lost", "mine"]


def test_leases_that_ended_at_once_go_by_ticket() -> None:
    pair = [
        running("u", ticket=2, token=1, lease="a.0.1.1", lease_until=NOW),
        running("t", ticket=1, token=2, lease="a.0.1.2", lease_until=NOW),
    ]
    assert names(queue(*pair).overdue(NOW, 9)) == ["t", "u"]


def test_it_finds_leases_by_their_beginning() -> None:
    assert names(full.leases_of("a.")) == ["mine", "lost"]
    assert names(full.leases_of("a.1.1.")) == ["lost"]


def test_an_unknown_lane_stands_at_nought() -> None:
    assert (full.lane("a.0"), full.lane("a.1")) == (7, 0)


def test_it_knows_what_time_alone_will_bring() -> None:
    assert full.next_due("a", NOW) == NOW + 5
    assert full.next_due("a", NOW + 5) == NOW + 9
    assert full.next_due("a", NOW + 9) is None
    assert full.next_due("nobody", NOW) is None
    assert full.next_lease_end() == NOW - 1
    assert queue().next_lease_end() is None


def test_nothing_changes_nothing() -> None:
    assert full.after(Change()) == full


def test_a_change_is_a_new_queue_and_leaves_the_old_one() -> None:
    state = QueueState(settings=Settings(), ticket=10)
    more, moved = task("more", ticket=10), task("now", ticket=3, attempt=1)
    after = full.after(Change((more, moved), state, ("b.0", 3)))
    assert after.state is state
    assert (after.tasks["more"], after.tasks["now"]) == (more, moved)
    assert after.lanes == {"a.0": 7, "b.0": 3}
    assert after.known is full.known
    assert (len(full.tasks), full.lanes) == (9, {"a.0": 7})


def test_an_empty_queue_knows_nobody() -> None:
    empty = Snapshot(name="q", state=QueueState(settings=Settings()))
    known: list[Task] = [*empty.ready("a", NOW, 9), *empty.overdue(NOW, 9)]
    assert known == []
