"""How long closures are kept: while a task needs them, and a few for a replay."""

import attrs
import pytest

from kew.app.submitting.pins import KEPT, SURELY_ANSWERED, Pins
from kew.domain.task import Found, Submission, Task, TaskStatus, Unreadable

NEVER_SEEN, SEEN_LONG_AGO = 0.0, SURELY_ANSWERED


class Kept:
    """Pins, and which of them are kept."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.pins = Pins(self.names.discard)

    def submit(self, task_id: str, name: str = "", *, nonce: str = "", queue: str = "q") -> Task:
        """A task of a closure; the record that the store would have of it."""
        name = name or f"@w1/{task_id}"
        if name not in self.names:
            self.names.add(name)
            self.pins.add(name)
        call = Submission(
            id=task_id,
            nonce=nonce or task_id,
            task_type="t",
            function=name,
            payload=b"",
            priority=2,
        )
        self.pins.hold(call, queue)
        return Task(
            call=call, queue=queue, status=TaskStatus.QUEUED, ready_at=0, ticket=1, queued_at=0
        )

    def check(self, *records: Found, queue: str = "q") -> None:
        """Compare what is held with these records, long enough after the submits."""
        self.pins.due_for_check(queue, NEVER_SEEN, 100)
        due = self.pins.due_for_check(queue, SEEN_LONG_AGO, 100)
        self.pins.compare(due, records)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_the_closure_of_a_completed_task_is_released_at_once(kept: Kept):
    kept.pins.settled(kept.submit("a"), TaskStatus.COMPLETED)
    assert kept.names == set()


def test_a_closure_is_released_with_the_last_task_that_needs_it(kept: Kept):
    first, second = kept.submit("a", "@w1/shared"), kept.submit("b", "@w1/shared")
    kept.pins.settled(first, TaskStatus.COMPLETED)
    assert kept.names == {"@w1/shared"}
    kept.pins.settled(second, TaskStatus.COMPLETED)
    assert kept.names == set()


@pytest.mark.parametrize("status", [TaskStatus.RETRY, TaskStatus.QUEUED])
def test_the_closure_of_a_task_that_runs_again_is_kept(kept: Kept, status: TaskStatus):
    kept.pins.settled(kept.submit("a"), status)
    assert kept.names == {"@w1/a"}


@pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.CANCELLED])
def test_the_latest_closures_of_what_failed_or_was_cancelled_are_kept(
    kept: Kept, status: TaskStatus
):
    for n in range(KEPT + 5):
        kept.pins.settled(kept.submit(f"t{n}"), status)
    assert kept.names == {f"@w1/t{n}" for n in range(5, KEPT + 5)}


def test_a_replayed_closure_that_runs_again_is_not_released_for_others_that_failed(kept: Kept):
    replayed = kept.submit("a")
    kept.pins.settled(replayed, TaskStatus.FAILED)
    kept.pins.taken(replayed)
    for n in range(KEPT):
        kept.pins.settled(kept.submit(f"t{n}"), TaskStatus.FAILED)
    assert "@w1/a" in kept.names
    kept.pins.settled(replayed, TaskStatus.COMPLETED)
    assert "@w1/a" not in kept.names


def test_a_notified_end_counts_as_one_that_can_be_replayed(kept: Kept):
    for n in range(KEPT + 1):
        kept.submit(f"t{n}")
        kept.pins.ended(f"t{n}")
    kept.pins.ended("of no closure")
    assert "@w1/t0" not in kept.names
    assert len(kept.names) == KEPT


def test_what_can_be_replayed_no_more_is_released(kept: Kept):
    kept.pins.settled(kept.submit("a"), TaskStatus.FAILED)
    kept.submit("waiting")
    kept.pins.release_ended()
    assert kept.names == {"@w1/waiting"}


def test_a_refused_submit_releases_its_own_closure_and_not_that_of_the_task_of_the_same_id(
    kept: Kept,
):
    kept.submit("a", "@w1/stored", nonce="first")
    refused = kept.submit("a", "@w1/refused", nonce="second")
    kept.pins.not_stored(refused.call)
    assert kept.names == {"@w1/stored"}


def test_a_resumed_submit_that_is_refused_leaves_the_closure_of_the_first_sending(kept: Kept):
    kept.submit("a", "@w1/closure", nonce="one")
    again = kept.submit("a", "@w1/closure", nonce="one")
    kept.pins.not_stored(again.call)
    assert kept.names == {"@w1/closure"}


def test_a_registered_function_stays(kept: Kept):
    task = kept.submit("a")
    kept.pins.stay("@w1/a")
    kept.pins.settled(task, TaskStatus.COMPLETED)
    kept.submit("b", "@w1/a")
    assert kept.names == {"@w1/a"}


def test_a_closure_whose_record_the_store_lost_is_released(kept: Kept):
    kept.submit("a")
    kept.check(None)
    assert kept.names == set()


def test_a_closure_whose_id_was_used_again_is_released(kept: Kept):
    task = kept.submit("a")
    another = task.moved(call=attrs.evolve(task.call, nonce="another"))
    kept.check(another)
    assert kept.names == set()


def test_a_closure_that_waits_is_kept_by_every_check(kept: Kept):
    kept.check(kept.submit("a"))
    assert kept.names == {"@w1/a"}


def test_a_closure_that_ended_unnoticed_is_treated_as_ended(kept: Kept):
    for n in range(KEPT):
        kept.pins.settled(kept.submit(f"t{n}"), TaskStatus.FAILED)
    kept.check(kept.submit("late").moved(status=TaskStatus.CANCELLED))
    assert "@w1/t0" not in kept.names
    kept.check(kept.submit("done").moved(status=TaskStatus.COMPLETED))
    assert "@w1/done" not in kept.names


def test_a_submit_that_may_still_arrive_is_not_compared(kept: Kept):
    kept.submit("a")
    assert kept.pins.due_for_check("q", NEVER_SEEN, 100) == []
    assert kept.pins.due_for_check("q", SURELY_ANSWERED - 1, 100) == []
    assert kept.pins.due_for_check("other", SEEN_LONG_AGO, 100) == []


def test_checks_take_turns_among_all_that_is_held(kept: Kept):
    for n in range(4):
        kept.submit(f"t{n}")
    kept.pins.due_for_check("q", NEVER_SEEN, 100)
    turns = [kept.pins.due_for_check("q", SEEN_LONG_AGO, 2) for _ in range(3)]
    assert [[held.task_id for held in turn] for turn in turns] == [
        ["t0", "t1"],
        ["t2", "t3"],
        ["t0", "t1"],
    ]


def test_what_ended_while_it_was_compared_is_left_alone(kept: Kept):
    task = kept.submit("a")
    kept.pins.due_for_check("q", NEVER_SEEN, 1)
    due = kept.pins.due_for_check("q", SEEN_LONG_AGO, 1)
    kept.pins.settled(task, TaskStatus.FAILED)
    kept.pins.compare(due, [None])
    assert kept.names == {"@w1/a"}


def test_a_new_process_begins_without_the_closures_of_the_former(kept: Kept):
    kept.submit("a")
    kept.pins.settled(kept.submit("b"), TaskStatus.FAILED)
    kept.pins.clear()
    assert kept.names == set()
    kept.pins.ended("a")


def test_a_closure_is_kept_while_the_record_of_its_task_cannot_be_read(kept: Kept):
    kept.submit("a")
    kept.submit("b")
    kept.check(Unreadable("a", "cut short"), None)
    assert kept.names == {"@w1/a"}
