"""The lifecycle table, cell by cell: what is legal goes where the table says, what isn't changes nothing."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.domain.config import Settings
from kew.domain.errors import IllegalTransition
from kew.domain.events import (
    CancelRequested,
    Claimed,
    Event,
    Failed,
    Lost,
    Orphaned,
    Released,
    Replayed,
    Succeeded,
)
from kew.domain.lifecycle import (
    TABLE,
    Effect,
    lost_too_often,
    print_table,
    settled_word,
    step,
    verify,
)
from kew.domain.task import TERMINAL, Task, TaskStatus
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
EXAMPLES: dict[type[Event], list[Event]] = {
    Claimed: [CLAIM],
    Succeeded: [Succeeded(b"r")],
    Failed: [AGAIN, FINAL],
    Lost: [Lost()],
    Released: [Released(started=True), Released(started=False)],
    CancelRequested: [CancelRequested()],
    Orphaned: [Orphaned()],
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
CELLS = list(itertools.product(PLAIN, EXAMPLES))


def cell_name(cell: tuple[TaskStatus, type[Event]]) -> str:
    return f"{cell[0].value}-{cell[1].__name__}"


def test_every_status_and_every_event_is_in_the_table() -> None:
    assert set(TABLE) == set(TaskStatus)
    assert set(EXAMPLES) == set(get_args(Event))
    assert {event for cells in TABLE.values() for event in cells} == set(EXAMPLES)


@pytest.mark.parametrize("cell", CELLS, ids=cell_name)
def test_each_cell_goes_where_the_table_says_or_raises(
    cell: tuple[TaskStatus, type[Event]],
) -> None:
    status, kind = cell
    reached: set[TaskStatus] = set()
    for before in (variant for variant in VARIANTS if variant.status is status):
        for event in EXAMPLES[kind]:
            if kind in TABLE[status]:
                after, _ = step(before, event, LATER, SETTINGS)
                verify(before, event, after)
                reached.add(after.status)
            else:
                with pytest.raises(IllegalTransition) as raised:
                    step(before, event, LATER, SETTINGS)
                assert str(raised.value) == f"{kind.__name__} is illegal while {status.value}: 't'"
    assert reached == TABLE[status].get(kind, frozenset())


AT_MOST_ONCE = "attempt 1 was interrupted, and at_most_once forbids another"
ORPHANED = (
    "the process that submitted this closure or lambda has gone, and no other can run it; "
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
dead = ended(status=TaskStatus.FAILED, attempt=3, failures=1, losses=2, error="E: old", settled="s")
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
            "error": "its worker was lost 3 times (max_deliveries), so it is not given to another",
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
    "a waiting task is cancelled at once": (
        waiting,
        CancelRequested(),
        {**CANCELLED, "lease": "", "ended_at": LATER},
        None,
    ),
    "a running task is told to stop": (
        held,
        CancelRequested(),
        {"cancel_requested": True},
        Effect.TELL_HOLDER,
    ),
    "telling it twice changes nothing more": (stopping, CancelRequested(), {}, Effect.TELL_HOLDER),
    "an orphan is a dead letter": (queued, Orphaned(), {**DEAD, "error": ORPHANED}, None),
    "a replay forgets failures and losses, not attempts": (
        dead,
        Replayed(),
        {**REPLAYED, "failures": 0, "losses": 0, "replays": 1},
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
    verify(before, event, after)


@given(st.lists(st.sampled_from([e for es in EXAMPLES.values() for e in es]), max_size=12))
def test_no_sequence_of_events_leaves_a_lease_behind_or_forgets_an_end(events: list[Event]) -> None:
    now, before = task(), task()
    for event in events:
        if type(event) not in TABLE[before.status]:
            continue
        now, _ = step(before, event, LATER, SETTINGS)
        verify(before, event, now)
        assert bool(now.lease) == (now.status is TaskStatus.PROCESSING)
        assert bool(now.ended_at) == bool(now.expires_at) == now.is_terminal
        assert now.attempt == before.attempt + isinstance(event, Claimed)
        before = now


def test_verify_names_the_step_that_left_the_table() -> None:
    with pytest.raises(AssertionError) as raised:
        verify(held, Succeeded(b""), queued)
    assert str(raised.value).startswith("Succeeded: processing -> queued")


def test_the_table_can_be_printed() -> None:
    assert print_table() == (
        "queued      Claimed          -> processing\n"
        "queued      CancelRequested  -> cancelled\n"
        "queued      Orphaned         -> failed\n"
        "retry       Claimed          -> processing\n"
        "retry       CancelRequested  -> cancelled\n"
        "retry       Orphaned         -> failed\n"
        "processing  Succeeded        -> completed\n"
        "processing  Failed           -> cancelled, failed, retry\n"
        "processing  Lost             -> cancelled, failed, queued\n"
        "processing  Released         -> cancelled, failed, queued\n"
        "processing  CancelRequested  -> processing\n"
        "completed   (an end)\n"
        "failed      Replayed         -> queued\n"
        "cancelled   Replayed         -> queued"
    )


def test_losses_are_told_in_words() -> None:
    assert "lost 4 times (max_deliveries)" in lost_too_often(4)


def test_a_lease_lasts_as_long_as_the_claim_says() -> None:
    after, _ = step(queued, Claimed(lease="l", lease_ms=LEASE_MS, token=1, epoch=0), NOW, SETTINGS)
    assert after.lease_until == NOW + LEASE_MS


@pytest.mark.parametrize("word", ["succeed", "fail", "retry", "release"])
def test_the_outcome_that_was_settled_last_is_told(word: str) -> None:
    assert settled_word(ended(settled=f"w1.0.3.1:{word}")) == word
    assert settled_word(task()) == ""
