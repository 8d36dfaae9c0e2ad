"""What people ask of the pure queue: cancel, replay, pause, configure, and the breaker by hand."""

from __future__ import annotations

import attrs
import pytest

from kew.domain import commands, maintenance, task_commands
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.holding import Hold
from kew.domain.queue import NOTHING, Change
from kew.domain.requests import Word
from kew.domain.snapshot import Snapshot
from kew.domain.task import Life, Task, TaskStatus
from tests.support.tasks import NOW, changed, ended, queue, running, task

LATER = NOW + 500
OPEN = Breaker(state=BreakerState.OPEN, opened_at=NOW, epoch=1)


def elsewhere(one: Snapshot) -> Snapshot:
    """The same records, looked at from another queue of the namespace."""
    return attrs.evolve(one, name="other")


def test_a_waiting_task_is_cancelled() -> None:
    before = queue(task())
    change, word = task_commands.cancel(before, "t", None, LATER)
    assert word is Word.DONE
    assert changed(before, change) == {
        "status": TaskStatus.CANCELLED,
        "ended_at": LATER,
        "expires_at": LATER + 86_400_000,
    }


def test_a_task_that_is_due_later_is_due_now() -> None:
    before = queue(task(ready_at=LATER))
    change, word = task_commands.hasten(before, "t", None, NOW)
    assert word is Word.DONE
    assert changed(before, change) == {"ready_at": NOW}
    assert task_commands.hasten(before.after(change), "t", None, NOW) == (NOTHING, Word.SAME)


def test_only_a_waiting_task_in_the_life_that_was_meant_is_hastened() -> None:
    later = task(ready_at=LATER)
    past = Life(later.ticket, later.replays + 1)
    assert task_commands.hasten(queue(later), "t", past, NOW) == (NOTHING, Word.ENDED)
    assert task_commands.hasten(queue(ended()), "t", None, NOW) == (NOTHING, Word.ENDED)
    assert task_commands.hasten(queue(running()), "t", None, NOW) == (NOTHING, Word.SAME)
    assert task_commands.hasten(queue(), "t", None, NOW) == (NOTHING, Word.MISSING)


def test_a_running_task_is_asked_to_stop_however_often() -> None:
    before = queue(running())
    change, word = task_commands.cancel(before, "t", None, NOW)
    assert word is Word.CANCEL
    assert changed(before, change) == {"cancel_requested": True}
    assert task_commands.cancel(before.after(change), "t", None, NOW) == (change, Word.CANCEL)


def test_only_a_waiting_task_is_cancelled_among_many() -> None:
    waits, runs = task(), running()
    assert task_commands.cancel_waiting(queue(waits), "t", waits.life, NOW)[1] is Word.DONE
    assert task_commands.cancel_waiting(queue(runs), "t", runs.life, NOW) == (NOTHING, Word.ILLEGAL)
    past = Life(runs.ticket, runs.replays + 1)
    assert task_commands.cancel_waiting(queue(runs), "t", past, NOW) == (NOTHING, Word.ENDED)
    assert task_commands.cancel_waiting(queue(), "t", Life(1, 0), NOW) == (NOTHING, Word.MISSING)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (TaskStatus.COMPLETED, Word.ENDED),
        (TaskStatus.FAILED, Word.ENDED),
        (TaskStatus.CANCELLED, Word.SAME),
    ],
)
def test_an_ended_task_is_not_cancelled(status: TaskStatus, word: Word) -> None:
    assert task_commands.cancel(queue(ended(status=status)), "t", None, NOW) == (NOTHING, word)


@pytest.mark.parametrize("operation", [task_commands.cancel, task_commands.replay])
@pytest.mark.parametrize(
    ("found", "life"),
    [
        (queue(), None),
        (queue(ended(status=TaskStatus.FAILED, expires_at=NOW)), None),
        (elsewhere(queue(ended(status=TaskStatus.FAILED))), None),
        (queue(ended(status=TaskStatus.FAILED)), Life(2, 0)),
    ],
)
def test_a_task_that_is_not_here_is_missing(
    operation: object, found: Snapshot, life: Life | None
) -> None:
    answer = operation(found, "t", life, NOW)  # type: ignore[operator]
    assert answer == (NOTHING, Word.MISSING)


def test_the_ticket_names_the_tasks_incarnation() -> None:
    life = Life(3, 0)
    assert task_commands.cancel(queue(task(ticket=3)), "t", life, NOW)[1] is Word.DONE
    dead = queue(ended(status=TaskStatus.FAILED, ticket=3))
    assert task_commands.replay(dead, "t", life, NOW)[1] is Word.DONE


@pytest.mark.parametrize("found", [task(replays=2), running(replays=2)])
def test_a_cancel_leaves_another_life_of_the_task_alone(found: Task) -> None:
    for past in (0, 1):
        assert task_commands.cancel(queue(found), "t", Life(1, past), NOW) == (NOTHING, Word.ENDED)
    assert task_commands.cancel(queue(found), "t", Life(1, 2), NOW)[0] != NOTHING


@pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.COMPLETED])
def test_a_replay_puts_back_from_one_life_alone(status: TaskStatus) -> None:
    found = queue(ended(status=status, replays=2))
    for past in (0, 1):
        assert task_commands.replay(found, "t", Life(1, past), NOW) == (NOTHING, Word.SAME)
    if status is not TaskStatus.COMPLETED:
        assert task_commands.replay(found, "t", Life(1, 2), NOW)[1] is Word.DONE


@pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.CANCELLED])
def test_a_dead_letter_is_put_back_once(status: TaskStatus) -> None:
    before = queue(ended(status=status, attempt=3, failures=2, losses=1))
    change, word = task_commands.replay(before, "t", None, LATER)
    assert word is Word.DONE
    assert changed(before, change) == {
        "status": TaskStatus.QUEUED,
        "ready_at": LATER,
        "failures": 0,
        "losses": 0,
        "replays": 1,
        "ended_at": 0,
        "expires_at": 0,
    }
    assert task_commands.replay(before.after(change), "t", None, LATER) == (NOTHING, Word.SAME)


@pytest.mark.parametrize(
    ("found", "word"), [(task(), Word.SAME), (running(), Word.SAME), (ended(), Word.ILLEGAL)]
)
def test_what_is_no_dead_letter_is_not_put_back(found: Task, word: Word) -> None:
    assert task_commands.replay(queue(found), "t", None, NOW) == (NOTHING, word)


def test_an_orphan_fails_for_good() -> None:
    before = queue(task())
    change = maintenance.orphan(before, before.tasks["t"], LATER)
    assert change.tasks[0].status is TaskStatus.FAILED
    assert change.tasks[0].ended_at == LATER
    assert change.tasks[0].expires_at == LATER + 30 * 86_400_000
    assert "is gone" in change.tasks[0].error


def test_a_queue_is_paused_and_resumed() -> None:
    before = queue(task())
    change = commands.pause(before, Hold(NOW, "why"))
    paused = attrs.evolve(before.state, paused=True, holds={"paused": Hold(NOW, "why")})
    assert (change.state, change.tasks) == (paused, ())
    assert commands.resume(before.after(change), "two") == Change((), before.state)


def test_the_latest_declaration_wins_and_an_equal_one_changes_nothing() -> None:
    before = queue(version=3)
    change = commands.configure(before, Settings(max_workers=2), "two")
    assert change.state == attrs.evolve(
        before.state, settings=Settings(max_workers=2), version=4, edition="two"
    )
    assert change.tasks == ()
    assert commands.configure(before.after(change), Settings(max_workers=2), "two") is NOTHING


def test_a_failure_that_a_person_saw_counts_like_any_other() -> None:
    before = queue(settings=Settings(breaker_failures=2))
    once = before.after(commands.record_failure(before, NOW))
    assert once.state.breaker == Breaker(failures=1)
    change = commands.record_failure(once, LATER)
    assert change.tasks == ()
    assert change.state is not None
    assert change.state.breaker == Breaker(state=BreakerState.OPEN, opened_at=LATER, epoch=1)


def test_a_failure_that_a_person_saw_in_half_open_opens_again() -> None:
    before = queue(breaker=OPEN, settings=Settings(breaker_reset_ms=100))
    after = before.after(commands.record_failure(before, NOW + 100))
    assert after.state.breaker == Breaker(state=BreakerState.OPEN, opened_at=NOW + 100, epoch=3)


def test_a_breaker_is_opened_by_a_person() -> None:
    change = commands.open_breaker(queue(breaker=Breaker(epoch=4)), NOW)
    opened = Breaker(state=BreakerState.OPEN, opened_at=NOW, epoch=5)
    assert change.state is not None
    assert change.state.breaker == opened


def test_a_queue_without_a_breaker_has_none_to_open() -> None:
    without = queue(settings=Settings(breaker_failures=0))
    assert commands.open_breaker(without, NOW).state == without.state


def test_a_breaker_is_reset_by_a_person() -> None:
    change = commands.reset_breaker(queue(breaker=OPEN, paused=True), NOW)
    assert change.tasks == ()
    assert change.state is not None
    assert (change.state.breaker, change.state.paused) == (Breaker(epoch=2), True)
