"""Submitting to the pure queue: what is stored, what is refused whole, what a repeat is answered."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from kew.domain import queue as rules
from kew.domain.breaker import Breaker, BreakerState
from kew.domain.config import Settings
from kew.domain.queue import NOTHING
from kew.domain.requests import Group, GroupOutcome, SubmitRef, Word
from kew.domain.task import Task
from kew.domain.view import QueueState
from tests.support.tasks import NOW, call, ended, group, queue, running, task

LATER = NOW + 500
OPEN = Breaker(state=BreakerState.OPEN, opened_at=NOW, epoch=1)


def test_a_submitted_task_waits_from_now_on_with_the_next_ticket() -> None:
    change, outcome = rules.submit(queue(task("a", ticket=4)), group(call("t")), NOW)
    assert outcome == GroupOutcome(Word.DONE)
    assert change.tasks == [task("t", ticket=5)]
    assert change.state is not None
    assert change.state.ticket == 5
    assert change.lane is None


def test_a_group_takes_tickets_in_its_order() -> None:
    change, _ = rules.submit(queue(), group(call("b"), call("a"), call("c")), NOW)
    assert [(one.id, one.ticket) for one in change.tasks] == [("b", 1), ("a", 2), ("c", 3)]
    assert change.state == QueueState(settings=Settings(), ticket=3)


@pytest.mark.parametrize(
    ("due", "ready_at"),
    [
        ({}, LATER),
        ({"delay_ms": 9}, LATER + 9),
        ({"due_at": LATER + 9}, LATER + 9),
        ({"due_at": LATER + 9, "delay_ms": 700}, LATER + 9),
        ({"due_at": NOW}, LATER),
        ({"due_at": 0}, LATER),
        ({"delay_ms": -9}, LATER),
    ],
)
def test_a_task_is_ready_when_it_was_asked_for_and_never_in_the_past(
    due: dict[str, Any], ready_at: int
) -> None:
    change, _ = rules.submit(queue(), group(call(**due)), LATER)
    (stored,) = change.tasks
    assert (stored.ready_at, stored.queued_at, stored.queue) == (ready_at, LATER, "q")


@pytest.mark.parametrize("known", [task(), running(), ended(), task(queue="other")])
def test_an_id_is_used_once_while_its_record_lives(known: Task) -> None:
    answer = rules.submit(queue(known), group(call("new"), call("t", nonce="m")), NOW)
    assert answer == (NOTHING, GroupOutcome(Word.DUPLICATE, "t"))


def test_an_id_may_be_used_again_once_its_record_has_expired() -> None:
    before = queue(ended(expires_at=LATER))
    assert rules.submit(before, group(call(nonce="m")), LATER - 1)[1].word is Word.DUPLICATE
    change, outcome = rules.submit(before, group(call(nonce="m")), LATER)
    assert outcome.word is Word.DONE
    assert change.tasks[0].ticket == 2
    assert rules.submit(before, group(call()), LATER)[1].word is Word.DONE


@pytest.mark.parametrize(
    ("known", "word"),
    [
        (None, Word.EARLY),
        (task(), Word.DONE),
        (running(), Word.DONE),
        (ended(), Word.DONE),
        (ended(expires_at=NOW), Word.EARLY),
        (attrs.evolve(task(), call=call(nonce="m")), Word.EARLY),
        (task(queue="other"), Word.DONE),
    ],
)
def test_a_group_goes_in_only_after_the_one_that_it_is_to_follow(
    known: Task | None, word: Word
) -> None:
    before = queue(known) if known else queue()
    follows = Group(submissions=(call("next"),), after=SubmitRef("t", call().nonce))
    change, outcome = rules.submit(before, follows, NOW)
    assert outcome == GroupOutcome(word)
    assert bool(change.tasks) is (word is Word.DONE)


def test_a_group_that_is_in_stays_in_whatever_it_was_to_follow() -> None:
    follows = Group(submissions=(call(),), after=SubmitRef("gone", "n"))
    assert rules.submit(queue(task()), follows, NOW) == (NOTHING, GroupOutcome(Word.SAME))


def test_a_used_id_counts_before_the_order_and_the_order_before_the_room() -> None:
    full = queue(task(), settings=Settings(max_size=1))
    gone = SubmitRef("gone", "n")
    twin = Group(submissions=(call(nonce="m"),), after=gone)
    assert rules.submit(full, twin, NOW)[1] == GroupOutcome(Word.DUPLICATE, "t")
    early = Group(submissions=(call("new"),), after=gone)
    assert rules.submit(full, early, NOW)[1].word is Word.EARLY


def test_one_id_twice_in_a_group_is_refused_by_name() -> None:
    twice = group(call("a"), call("b"), call("a", nonce="m"))
    assert rules.submit(queue(), twice, NOW) == (NOTHING, GroupOutcome(Word.DUPLICATE, "a"))


def test_a_repeated_group_gets_its_answer_again_even_when_the_queue_is_full() -> None:
    both = group(call("a"), call("b"))
    small = queue(settings=Settings(max_size=2))
    stored = small.after(rules.submit(small, both, NOW)[0])
    assert rules.submit(stored, both, LATER) == (NOTHING, GroupOutcome(Word.SAME))


def test_a_repeat_is_recognised_by_what_is_left_of_its_group() -> None:
    answer = rules.submit(queue(task("a")), group(call("a"), call("b")), NOW)
    assert answer == (NOTHING, GroupOutcome(Word.SAME))


@pytest.mark.parametrize(("size", "word"), [(1, Word.DONE), (2, Word.DONE), (3, Word.FULL)])
def test_a_group_is_stored_whole_or_refused(size: int, word: Word) -> None:
    before = queue(task("w", ticket=1), running("r", ticket=2), settings=Settings(max_size=3))
    change, outcome = rules.submit(before, group(*[call(f"n{n}") for n in range(size)]), NOW)
    assert outcome == GroupOutcome(word)
    assert len(change.tasks) == (size if word is Word.DONE else 0)
    assert (change is NOTHING) == (word is Word.FULL)
