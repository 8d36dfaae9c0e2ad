"""Unique keys: who holds one, and what becomes of calls that meet a holder."""

from __future__ import annotations

from typing import Any

import pytest

from kew.domain import queue as rules
from kew.domain.config import Settings
from kew.domain.requests import GroupOutcome, Word
from kew.domain.task import Submission, Task, TaskStatus
from kew.domain.task_commands import replay
from kew.domain.unique import Conflict, UniqueKey, holds, replaced, unique_key
from tests.support.tasks import NOW, call, ended, group, queue, running, task


def unique(task_id: str = "t", text: str = "fj:key", **more: Any) -> Submission:
    return call(task_id, unique=text, **more)


def waiting(task_id: str = "t", text: str = "fj:key", **more: Any) -> Task:
    return task(task_id, call=unique(task_id, text), **more)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sj:a", UniqueKey("a", "s", Conflict.JOIN)),
        ("fr:a:b", UniqueKey("a:b", "f", Conflict.RAISE)),
        ("500p:\n", UniqueKey("\n", "500", Conflict.REPLACE)),
        ("sp700:ü", UniqueKey("ü", "s", Conflict.REPLACE, 700)),
    ],
)
def test_a_unique_key_is_written_as_it_is_read(text: str, key: UniqueKey) -> None:
    assert unique_key(text) == key
    assert str(key) == text


@pytest.mark.parametrize("text", ["", "fj:", "xj:a", "f:a", "fj", "1234567890123456j:a", "fj-1:a"])
def test_what_is_no_unique_key_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="no unique key"):
        unique_key(text)


@pytest.mark.parametrize(
    ("text", "held"),
    [("fj:k", "wait run retry"), ("sj:k", "wait"), ("500j:k", "wait run retry done")],
)
def test_a_key_is_held_until_its_task_starts_or_ends_or_for_a_time(text: str, held: str) -> None:
    call = unique(text=text)
    far = NOW + 100_000
    tasks = {
        "wait": task(call=call),
        "run": running(call=call),
        "retry": task(call=call, status=TaskStatus.RETRY, attempt=1),
        "done": ended(call=call, status=TaskStatus.COMPLETED, expires_at=far),
        "failed": ended(call=call, status=TaskStatus.FAILED, expires_at=far),
        "cancelled": ended(call=call, status=TaskStatus.CANCELLED, expires_at=far),
        "gone": ended(call=call, status=TaskStatus.COMPLETED, expires_at=NOW),
        "none": task(),
    }
    found = [name for name, each in tasks.items() if holds(each, NOW)]
    assert found == held.split()


def test_a_time_ends() -> None:
    one = waiting(text="500j:k")
    assert holds(one, NOW + 499)
    assert not holds(one, NOW + 500)


def test_a_replaced_task_keeps_its_place_unless_it_is_postponed() -> None:
    one = waiting(text="sp:k")
    after = replaced(one, unique("u", "sp:k", payload=b"new", delay_ms=9), NOW)
    assert after == one.moved(call=unique(text="sp:k", payload=b"new"))
    for at, ready_at in ((NOW + 100, NOW + 110), (NOW + 495, NOW + 500)):
        assert replaced(one, unique("u", "sp500:k", delay_ms=10), at).ready_at == ready_at


def test_a_call_that_meets_a_holder_stores_nothing() -> None:
    view = queue(waiting("a"))
    change, outcome = rules.submit(view, group(unique("b"), call("c")), NOW)
    assert outcome == GroupOutcome(Word.DONE, met=(("b", "a"),))
    assert [one.id for one in change.tasks] == ["c"]
    change, outcome = rules.submit(view, group(unique("b", "fj:other")), NOW)
    assert outcome == GroupOutcome(Word.DONE)


def test_calls_of_a_group_meet_each_other() -> None:
    calls = [unique(name, "sp:k", payload=name.encode()) for name in "abc"]
    change, outcome = rules.submit(queue(), group(*calls), NOW)
    assert outcome.met == (("b", "a"), ("c", "a"))
    assert [(one.id, one.call.payload) for one in change.tasks] == [("a", b"c")]


@pytest.mark.parametrize("holder", [running("a", call=unique("a")), None])
@pytest.mark.parametrize("text", ["fr:key", "fp:key"])
def test_a_call_that_may_not_meet_a_holder_is_refused(holder: Task | None, text: str) -> None:
    holder = holder or waiting("a")
    calls = (call("c"), unique("b", text, payload=b"new"))
    change, outcome = rules.submit(queue(holder), group(*calls), NOW)
    if text == "fp:key" and holder.is_waiting:
        assert [one.id for one in change.tasks] == ["c", "a"]
        assert change.tasks[1].call.payload == b"new"
    else:
        assert (change, outcome) == (rules.NOTHING, GroupOutcome(Word.HELD, "a"))


def test_later_calls_of_a_group_replace_what_earlier_ones_did() -> None:
    calls = [unique(name, "sp500:k", delay_ms=9, payload=name.encode()) for name in "bc"]
    view = queue(waiting("a", "sp500:k"))
    change, outcome = rules.submit(view, group(*calls), NOW + 1)
    assert outcome.met == (("b", "a"), ("c", "a"))
    assert [(one.id, one.ready_at, one.call.payload) for one in change.tasks] == [
        ("a", NOW + 10, b"c")
    ]


def test_a_repeated_group_is_compared_again_but_for_what_is_in() -> None:
    stored = rules.submit(queue(), group(unique("a"), call("c")), NOW)[0].tasks
    view = queue(*stored)
    assert rules.submit(view, group(unique("a"), call("c")), NOW) == (
        rules.NOTHING,
        GroupOutcome(Word.SAME),
    )
    change, outcome = rules.submit(view, group(unique("a"), unique("b"), call("c")), NOW)
    assert outcome.met == (("b", "a"),)
    assert not change.tasks


def test_what_is_to_be_stored_needs_a_place() -> None:
    view = queue(waiting("a"), settings=Settings(max_size=1))
    assert rules.submit(view, group(unique("b")), NOW)[1].word is Word.DONE
    assert rules.submit(view, group(unique("b"), call("c")), NOW)[1].word is Word.FULL


def test_a_task_is_not_replayed_while_another_holds_its_key() -> None:
    failed = ended("a", call=unique("a"), status=TaskStatus.FAILED, expires_at=NOW + 9_000)
    assert replay(queue(failed), "a", None, NOW)[1] is Word.DONE
    view = queue(failed, waiting("b", ticket=2))
    assert replay(view, "a", None, NOW) == (rules.NOTHING, Word.HELD)
    plain = failed.moved(call=unique("a", "sj:key"), attempt=1)
    assert replay(queue(plain, waiting("b", ticket=2)), "a", None, NOW)[1] is Word.DONE
