"""The lifecycle table, cell by cell: what is legal goes where the table says, what isn't changes nothing."""

from __future__ import annotations

import itertools
from typing import get_args

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.domain.config import Settings
from kew.domain.errors import IllegalTransition
from kew.domain.events import (
    CancelRequested,
    Claimed,
    Event,
    Expired,
    Failed,
    Lost,
    NotStarted,
    Orphaned,
    Released,
    Replayed,
    Snoozed,
    Succeeded,
)
from kew.domain.lifecycle import CELLS, TABLE, Effect, print_table, row_of, step, verify
from kew.domain.outcomes import settled_word
from kew.domain.task import TERMINAL, Task, TaskStatus
from kew.domain.transitions import lost_too_often, never_started
from tests.support.tasks import LEASE, LEASE_MS, NOW, differences, ended, running, task

LATER = NOW + 500
SETTINGS = Settings(max_deliveries=2, task_ttl_ms=70_000, dead_letter_ttl_ms=90_000)
ENDED = {"lease": "", "lease_until": 0, "ended_at": LATER}
GONE = {**ENDED, "expires_at": LATER + 70_000}  # COMPLETED or CANCELLED
DEAD = {**ENDED, "expires_at": LATER + 90_000, "status": TaskStatus.FAILED}
CANCELLED = {**GONE, "status": TaskStatus.CANCELLED}
WAITS = {"lease": "", "lease_until": 0}

CLAIM = Claimed(lease="b.0.1.1", lease_ms=9000, token=7, epoch=3)
AGAIN, FINAL = Failed(error="E: x", retry_after_ms=40), Failed(error="E: x", retry_after_ms=None)
LATER_TASK = Snoozed(error="S: later", after_ms=40)
LATER_QUEUE = attrs.evolve(LATER_TASK, scope="queue")
EXAMPLES: dict[type[Event], list[Event]] = {
    Claimed: [CLAIM],
    Succeeded: [Succeeded(b"r")],
    Failed: [AGAIN, FINAL],
    Snoozed: [LATER_TASK, LATER_QUEUE],
    Lost: [Lost()],
    Released: [Released(started=True), Released(started=False)],
    NotStarted: [NotStarted("no room")],
    CancelRequested: [CancelRequested()],
    Orphaned: [Orphaned()],
    Expired: [Expired()],
    Replayed: [Replayed()],
}
PLAIN = {
    TaskStatus.QUEUED: task(),
    TaskStatus.RETRY: task(status=TaskStatus.RETRY, attempt=1, failures=1, settled="z.0.1.1:retry"),
    TaskStatus.PROCESSING: running(),
    **{status: ended(status=status) for status in sorted(TERMINAL)},
}
TIRED: dict[str, object] = {"losses": 2, "attempt": 9}
STOPPING: dict[str, object] = {"cancel_requested": True}
VARIANTS = [
    plain.moved(**changes, call=call)
    for plain in PLAIN.values()
    for changes in ({}, TIRED, *([STOPPING] if plain.lease else []))
    for call in (plain.call, running(at_most_once=True).call)
]
PAIRS = list(itertools.product(PLAIN, EXAMPLES))


def test_every_event_is_in_the_table_and_every_status_but_the_end_of_a_success() -> None:
    assert set(EXAMPLES) == set(get_args(Event)) == {row.event for row in TABLE}
    assert set(TaskStatus) - {row.status for row in TABLE} == {TaskStatus.COMPLETED}


def test_the_rows_of_a_cell_are_together_and_only_the_last_has_no_guard() -> None:
    assert [row for rows in CELLS.values() for row in rows] == list(TABLE)
    for rows in CELLS.values():
        assert [row.guard is None for row in rows] == [False] * (len(rows) - 1) + [True]


@pytest.mark.parametrize(
    ("status", "kind"), PAIRS, ids=lambda one: getattr(one, "__name__", str(one))
)
def test_an_event_that_the_table_does_not_list_is_illegal(
    status: TaskStatus, kind: type[Event]
) -> None:
    for before in (variant for variant in VARIANTS if variant.status is status):
        for event in EXAMPLES[kind]:
            if (status, kind) in CELLS:
                after, effect = step(before, event, LATER, SETTINGS)
                row = row_of(before, event, SETTINGS)
                assert (after.status, effect) == (row.target, row.effect)
            else:
                with pytest.raises(IllegalTransition) as raised:
                    step(before, event, LATER, SETTINGS)
                assert str(raised.value) == f"{kind.__name__} is illegal while {status.value}: 't'"


AT_MOST_ONCE = "attempt 1 was interrupted, and at_most_once forbids another; replay the task if it may run again"
ORPHANED = (
    "the process that submitted this closure or lambda is gone, and no other process can run it; "
    "submit a module-level function, or use the pickle codec"
)
CLAIMED = {
    "status": TaskStatus.PROCESSING,
    "lease": "b.0.1.1",
    "lease_until": LATER + 9000,
    "token": 7,
    "epoch": 3,
    "started_at": LATER,
}
REPLAYED = {"status": TaskStatus.QUEUED, "ready_at": LATER, "ended_at": 0, "expires_at": 0}
once, stopping = running(at_most_once=True), running(cancel_requested=True)
queued, waiting, held = (
    PLAIN[s] for s in (TaskStatus.QUEUED, TaskStatus.RETRY, TaskStatus.PROCESSING)
)
tired = running(losses=2, attempt=3)
dead = ended(
    status=TaskStatus.FAILED,
    attempt=4,
    failures=1,
    losses=2,
    snoozes=1,
    error="E: old",
    settled="s",
)
stopped = ended(status=TaskStatus.CANCELLED, cancel_requested=True)

STEPS: dict[str, tuple[Task, Event, dict[str, object], Effect | None]] = {
    "a claim starts the first attempt": (queued, CLAIM, {**CLAIMED, "attempt": 1}, None),
    "a claim starts the next attempt": (waiting, CLAIM, {**CLAIMED, "attempt": 2}, None),
    "a success ends it with its result": (
        held.moved(error="E: old"),
        Succeeded(b"r"),
        {
            **GONE,
            "status": TaskStatus.COMPLETED,
            "result": b"r",
            "error": "",
            "settled": f"{LEASE}:succeed",
        },
        Effect.COUNT_SUCCESS,
    ),
    "a success wins over a cancel": (
        stopping,
        Succeeded(b"r"),
        {**GONE, "status": TaskStatus.COMPLETED, "result": b"r", "settled": f"{LEASE}:succeed"},
        Effect.COUNT_SUCCESS,
    ),
    "a failure waits for its retry": (
        held,
        AGAIN,
        {
            **WAITS,
            "status": TaskStatus.RETRY,
            "ready_at": LATER + 40,
            "failures": 1,
            "error": "E: x",
            "settled": f"{LEASE}:retry",
        },
        Effect.COUNT_FAILURE,
    ),
    "an answer that asks for a retry counts as a failure of the task, but not for the breaker": (
        held,
        attrs.evolve(AGAIN, counts=False),
        {
            **WAITS,
            "status": TaskStatus.RETRY,
            "ready_at": LATER + 40,
            "failures": 1,
            "error": "E: x",
            "settled": f"{LEASE}:retry_uncounted",
        },
        Effect.RETURN_PROBE,
    ),
    "a final answer is a dead letter that doesn't count for the breaker": (
        held,
        attrs.evolve(FINAL, counts=False),
        {**DEAD, "failures": 1, "error": "E: x", "settled": f"{LEASE}:fail_uncounted"},
        Effect.RETURN_PROBE,
    ),
    "a final failure is a dead letter": (
        running(failures=2, attempt=3),
        FINAL,
        {**DEAD, "failures": 3, "error": "E: x", "settled": f"{LEASE}:fail"},
        Effect.COUNT_FAILURE,
    ),
    "a failure while told to stop is the cancel": (
        stopping,
        FINAL,
        {**CANCELLED, "error": "E: x", "settled": f"{LEASE}:fail"},
        Effect.RETURN_PROBE,
    ),
    "a cancelled attempt remembers that a retry was asked for": (
        stopping,
        AGAIN,
        {**CANCELLED, "error": "E: x", "settled": f"{LEASE}:retry"},
        Effect.RETURN_PROBE,
    ),
    "a snooze waits for as long as it says, without a failure": (
        running(failures=1, attempt=2),
        LATER_TASK,
        {
            **WAITS,
            "status": TaskStatus.QUEUED,
            "ready_at": LATER + 40,
            "snoozes": 1,
            "error": "S: later",
            "settled": f"{LEASE}:snooze_task",
        },
        Effect.RETURN_PROBE,
    ),
    "a snooze of at_most_once comes back": (
        once,
        LATER_QUEUE,
        {
            **WAITS,
            "status": TaskStatus.QUEUED,
            "ready_at": LATER + 40,
            "snoozes": 1,
            "error": "S: later",
            "settled": f"{LEASE}:snooze_queue",
        },
        Effect.RETURN_PROBE,
    ),
    "a snooze while told to stop is the cancel": (
        stopping,
        LATER_TASK,
        {**CANCELLED, "error": "S: later", "settled": f"{LEASE}:snooze_task"},
        Effect.RETURN_PROBE,
    ),
    "a lost run waits again at its old place": (
        held.moved(settled="z.0.1.1:retry", ready_at=NOW - 9),
        Lost(),
        {**WAITS, "status": TaskStatus.QUEUED, "losses": 1},
        Effect.RETURN_PROBE,
    ),
    "a run lost as often as allowed waits again": (
        tired.moved(losses=1),
        Lost(),
        {**WAITS, "status": TaskStatus.QUEUED, "losses": 2},
        Effect.RETURN_PROBE,
    ),
    "a run lost too often is a dead letter": (
        tired,
        Lost(),
        {
            **DEAD,
            "losses": 3,
            "error": lost_too_often(3),
        },
        Effect.RETURN_PROBE,
    ),
    "at_most_once is not run again after a loss": (
        once,
        Lost(),
        {**DEAD, "error": AT_MOST_ONCE},
        Effect.RETURN_PROBE,
    ),
    "a loss while told to stop is the cancel": (
        stopping.moved(call=once.call),
        Lost(),
        CANCELLED,
        Effect.RETURN_PROBE,
    ),
    "a released run waits again at its old place": (
        held.moved(ready_at=NOW - 9),
        Released(started=True),
        {**WAITS, "status": TaskStatus.QUEUED, "settled": f"{LEASE}:release"},
        Effect.RETURN_PROBE,
    ),
    "at_most_once, released before it began, waits again": (
        once,
        Released(started=False),
        {**WAITS, "status": TaskStatus.QUEUED, "settled": f"{LEASE}:release"},
        Effect.RETURN_PROBE,
    ),
    "at_most_once, released after it began, is a dead letter": (
        once,
        Released(started=True),
        {**DEAD, "error": AT_MOST_ONCE, "settled": f"{LEASE}:release"},
        Effect.RETURN_PROBE,
    ),
    "a release while told to stop is the cancel": (
        stopping.moved(call=once.call),
        Released(started=True),
        {**CANCELLED, "settled": f"{LEASE}:release"},
        Effect.RETURN_PROBE,
    ),
    "a run that could not be started counts a loss and waits at its old place": (
        held.moved(ready_at=NOW - 9),
        NotStarted("no room"),
        {**WAITS, "status": TaskStatus.QUEUED, "losses": 1, "settled": f"{LEASE}:not_started"},
        Effect.RETURN_PROBE,
    ),
    "a run that could not be started too often is a dead letter with the reason": (
        tired,
        NotStarted("no room"),
        {
            **DEAD,
            "losses": 3,
            "error": "it could not be started, and was delivered 3 times, "
            "more often than max_deliveries allows: no room",
            "settled": f"{LEASE}:not_started",
        },
        Effect.RETURN_PROBE,
    ),
    "at_most_once that could not be started waits again": (
        once,
        NotStarted("no room"),
        {**WAITS, "status": TaskStatus.QUEUED, "losses": 1, "settled": f"{LEASE}:not_started"},
        Effect.RETURN_PROBE,
    ),
    "what could not be started while told to stop is the cancel": (
        stopping,
        NotStarted("no room"),
        {**CANCELLED, "settled": f"{LEASE}:not_started"},
        Effect.RETURN_PROBE,
    ),
    "a waiting task is cancelled at once": (
        waiting,
        CancelRequested(),
        {**CANCELLED, "lease": "", "ended_at": LATER},
        None,
    ),
    "a queued task is cancelled at once": (queued, CancelRequested(), CANCELLED, None),
    "a running task is told to stop": (
        held,
        CancelRequested(),
        {"cancel_requested": True},
        Effect.NOTIFY_HOLDER,
    ),
    "telling it twice changes nothing more": (
        stopping,
        CancelRequested(),
        {},
        Effect.NOTIFY_HOLDER,
    ),
    "an orphan that failed before is a dead letter": (
        waiting,
        Orphaned(),
        {**DEAD, "error": ORPHANED},
        None,
    ),
    "an expired task is cancelled": (
        queued,
        Expired(),
        {
            **CANCELLED,
            "error": "it expired: no process started it within 0.000 s (expires_in)",
        },
        None,
    ),
    "an orphan is a dead letter": (queued, Orphaned(), {**DEAD, "error": ORPHANED}, None),
    "a replay forgets failures and losses, not attempts": (
        dead,
        Replayed(),
        {**REPLAYED, "failures": 0, "losses": 0, "snoozes": 0, "replays": 1},
        None,
    ),
    "a replay forgets the cancel": (
        stopped,
        Replayed(),
        {**REPLAYED, "cancel_requested": False, "replays": 1},
        None,
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_changes_exactly_this(name: str) -> None:
    before, event, changes, effect = STEPS[name]
    after, wanted = step(before, event, LATER, SETTINGS)
    absent = {k: v for k, v in changes.items() if getattr(before, k) != v}
    assert differences(before, after) == absent
    assert wanted is effect
    verify(before, event, after, SETTINGS)


def test_these_steps_take_every_row_of_the_table() -> None:
    taken = {row_of(before, event, SETTINGS) for before, event, _, _ in STEPS.values()}
    assert taken == set(TABLE)


@given(st.lists(st.sampled_from([e for es in EXAMPLES.values() for e in es]), max_size=12))
def test_no_sequence_of_events_leaves_a_lease_behind_or_forgets_an_end(events: list[Event]) -> None:
    now, before = task(), task()
    for event in events:
        if (before.status, type(event)) not in CELLS:
            continue
        now, _ = step(before, event, LATER, SETTINGS)
        verify(before, event, now, SETTINGS)
        assert bool(now.lease) == (now.status is TaskStatus.PROCESSING)
        assert bool(now.ended_at) == bool(now.expires_at) == now.is_terminal
        assert now.attempt == before.attempt + isinstance(event, Claimed)
        before = now


def test_verify_names_the_step_that_left_the_table() -> None:
    with pytest.raises(AssertionError) as raised:
        verify(held, Succeeded(b""), queued, SETTINGS)
    assert str(raised.value).startswith("Succeeded: processing -> queued, not completed")


def test_the_table_is_printed_row_by_row() -> None:
    lines = print_table().splitlines()
    assert len(lines) == len(TABLE) + 1
    failed = (line for line in lines if "Failed" in line)
    assert next(failed) == (
        "processing  Failed           if cancel requested          -> cancelled   cancel failed     return probe"
    )
    assert lines[0] == (
        "queued      Claimed                                       -> processing  take lease"
    )
    assert lines[-1] == "completed   (an end)"


def test_losses_are_told_in_words() -> None:
    assert "lost 1 time, more often than max_deliveries allows" in lost_too_often(1)
    assert "lost 4 times, more often than max_deliveries allows" in lost_too_often(4)
    assert "delivered 1 time, more often than max_deliveries allows: x" in never_started(1, "x")


def test_a_lease_lasts_as_long_as_the_claim_says() -> None:
    after, _ = step(queued, Claimed(lease="l", lease_ms=LEASE_MS, token=1, epoch=0), NOW, SETTINGS)
    assert after.lease_until == NOW + LEASE_MS


@pytest.mark.parametrize("word", ["succeed", "fail", "retry", "release", "fail_uncounted"])
def test_the_outcome_that_was_settled_last_is_told(word: str) -> None:
    assert settled_word(ended(settled=f"w1.0.3.1:{word}")) == word
    assert settled_word(task()) == ""
