"""Expiring: which tasks do, when, and how they end."""

from typing import Any

import pytest

from kew.domain import queue as rules
from kew.domain.expiring import expire
from kew.domain.explaining import Code, Sure
from kew.domain.queue import NOTHING
from kew.domain.reasons import explained
from kew.domain.situation import situation_of
from kew.domain.snapshot import Snapshot
from kew.domain.task import Task, TaskStatus, unstarted_until
from tests.support.tasks import NOW, call, changed, queue, request, running, task

END = NOW + 5_000


def expiring(task_id: str = "t", **changes: Any) -> Task:
    return task(task_id, call=call(task_id, start_by_ms=5_000), **changes)


@pytest.mark.parametrize(
    ("one", "until"),
    [
        (expiring(), END),
        (expiring(ready_at=NOW + 1_000), END),
        (task(), None),
        (expiring(attempt=1), None),
        (expiring(attempt=1, status=TaskStatus.RETRY), None),
        (expiring(replays=1), None),
        (running(call=call(start_by_ms=5_000)), None),
        (expiring(status=TaskStatus.CANCELLED), None),
    ],
)
def test_a_waiting_task_expires_unless_it_was_taken_or_replayed(one: Task, until: int | None):
    assert unstarted_until(one) == until


def test_what_has_expired_ends_as_cancelled_the_earliest_first():
    before = queue(expiring("b", ticket=2), expiring("a", ticket=1), task("c", ticket=3))
    assert expire(before, END - 1, 10) is NOTHING
    assert [one.id for one in expire(before, END, 1).tasks] == ["a"]
    change = expire(before, END, 10)
    assert [one.id for one in change.tasks] == ["a", "b"]
    assert changed(queue(expiring()), expire(queue(expiring()), END, 1)) == {
        "status": TaskStatus.CANCELLED,
        "ended_at": END,
        "expires_at": END + 86_400_000,
        "error": "it expired: no process started it within 5.000 s (expires_in)",
    }


def test_a_claim_grants_nothing_while_more_has_expired():
    before = queue(expiring(), task("plain", ticket=2))
    _, grant = rules.claim(before, request(want=2), END)
    assert (grant.tasks, grant.wait_ms) == ((), 0)
    _, grant = rules.claim(before.after(expire(before, END, 1)), request(want=2), END)
    assert [one.id for one in grant.tasks] == ["plain"]


def explanation(before: Snapshot, now: int) -> Any:
    return explained(situation_of(before, before.tasks["t"], now, present=["a"], slots={}))


def test_an_explanation_says_when_a_task_expires():
    why = explanation(queue(expiring()), NOW)
    assert str(why).startswith("nothing holds it back: the next claim takes it; unless it starts")
    assert "it expires in 5 s (at 1970-01-01 00:16:45 UTC)" in str(why)


def test_a_task_that_expires_before_it_is_due_never_starts():
    why = explanation(queue(expiring(ready_at=END)), NOW)
    assert [reason.code for reason in why.reasons] == [Code.EXPIRED, Code.DEFERRED]
    assert (why.sure, why.earliest) == (Sure.NEVER, None)
    why = explanation(queue(expiring(ready_at=END - 1)), NOW)
    assert [reason.code for reason in why.reasons] == [Code.DEFERRED]


def test_a_task_that_has_expired_is_said_to_be_about_to_end_and_then_that_it_has():
    before = queue(expiring())
    why = explanation(before, END)
    assert [reason.code for reason in why.reasons] == [Code.EXPIRED]
    assert "is about to be cancelled" in str(why)
    why = explanation(before.after(expire(before, END, 1)), END + 1_000)
    assert [reason.code for reason in why.reasons] == [Code.EXPIRED]
    assert str(why).startswith("it expired: no process started it within 5.000 s (expires_in), 1 s")
