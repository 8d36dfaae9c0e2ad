"""The tree of errors: each carries what a program needs and says what a person may do next."""

from __future__ import annotations

import inspect
import math
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from kew.domain import errors
from kew.domain.errors import (
    GiveUp,
    IllegalTransition,
    InvalidConfigError,
    InvalidTaskError,
    QueueFullError,
    QueueInUseError,
    QueueNotFoundError,
    QueueProcessorError,
    RateLimited,
    ResultUnreadableError,
    Retry,
    Snooze,
    StoreUnavailableError,
    StoreUnsuitableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
    TaskCancelledError,
    TaskFailedError,
    TaskNotFoundError,
    TaskQueueError,
    TaskTooNewError,
    TaskUnreadableError,
    UnknownFunctionError,
    named,
    shown,
)
from kew.domain.task import Unreadable

INFO = object()
CASES: list[tuple[Callable[[], TaskQueueError], str, dict[str, object]]] = [
    (
        lambda: InvalidTaskError("t1", "too big"),
        "task 't1' was not submitted: too big",
        {"task_id": "t1", "reason": "too big", "accepted": ()},
    ),
    (
        lambda: TaskAlreadyExistsError("t1", ["t0"]),
        "task id 't1' is already used: `await error.handle.status()` says what became of its task; "
        "if it failed or was cancelled, `await manager.replay_task(error.task_id)` runs it again; "
        "for another task choose another id, or wait until the record expires",
        {"task_id": "t1", "accepted": ("t0",), "handle": None},
    ),
    (
        lambda: TaskAlreadyExistsError("t1", is_twice=True),
        "task id 't1' appears twice in this batch; no task of the batch was submitted",
        {"task_id": "t1", "accepted": (), "handle": None},
    ),
    (
        lambda: TaskNotFoundError("t1"),
        "no task 't1': it was never submitted to this namespace, or its record has expired",
        {"task_id": "t1"},
    ),
    (
        lambda: QueueNotFoundError("q", ["b-1"]),
        "queue 'q' doesn't exist; create it first: await manager.create_queue(QueueConfig(...)) "
        "(a decorator's queue= only names a queue)",
        {"queue": "q", "accepted": ("b-1",)},
    ),
    (
        lambda: QueueInUseError("q"),
        "queue 'q' was created by this manager, which would create it again; "
        "shut this manager down and delete the queue with another manager",
        {"queue": "q"},
    ),
    (
        lambda: QueueFullError("q", 0),
        "queue 'q' is full; try again later",
        {"queue": "q", "max_size": 0, "retry_after": None, "accepted": ()},
    ),
    (
        lambda: QueueFullError("q", 5, ["t0"]),
        "queue 'q' is full (max_size=5); try again later",
        {"queue": "q", "max_size": 5, "retry_after": None, "accepted": ("t0",)},
    ),
    (
        lambda: QueueFullError("q", 5, retry_after=1.5),
        "queue 'q' is full (max_size=5); try again in 1.5 s",
        {"queue": "q", "max_size": 5, "retry_after": 1.5, "accepted": ()},
    ),
    (
        lambda: SubmitUncertainError("t1", "n1", ["t0"]),
        "the store did not confirm whether task 't1' was stored; resume it with "
        "f.options(task_id=error.task_id, token=error.token).submit(...), or "
        "submit_task(error.task_id, ..., _token=error.token), which can't create a duplicate "
        "(for a batch: submit the tasks for which get_task_status finds no record)",
        {"task_id": "t1", "token": "n1", "accepted": ("t0",)},
    ),
    (
        lambda: StoreUnavailableError("start Redis", ["t0"]),
        "start Redis",
        {"accepted": ("t0",)},
    ),
    (
        lambda: TaskFailedError("t1", "E: x", INFO),
        "task 't1' failed: E: x",
        {"task_id": "t1", "error": "E: x", "info": INFO},
    ),
    (
        lambda: TaskCancelledError("t1", INFO),
        "task 't1' was cancelled",
        {"task_id": "t1", "info": INFO},
    ),
    (
        lambda: ResultUnreadableError("t1", "no date"),
        "task 't1' completed, but its result can't be read: no date",
        {"task_id": "t1", "reason": "no date"},
    ),
]


@pytest.mark.parametrize(
    ("build", "message", "attributes"), CASES, ids=[type(case[0]()).__name__ for case in CASES]
)
def test_an_error_says_what_to_do_and_carries_what_a_program_needs(
    build: Callable[[], TaskQueueError], message: str, attributes: dict[str, object]
) -> None:
    error = build()
    assert str(error) == message
    assert vars(error) == attributes


def test_nothing_is_accepted_unless_it_is_said() -> None:
    for error in (
        InvalidTaskError("t", "why"),
        TaskAlreadyExistsError("t"),
        QueueFullError("q", 1),
        SubmitUncertainError("t", "n"),
    ):
        assert error.accepted == ()


def test_whatever_kew_raises_for_a_caller_is_one_tree() -> None:
    inside = {GiveUp, Retry, Snooze, RateLimited, IllegalTransition}
    for kind in vars(errors).values():
        if inspect.isclass(kind) and issubclass(kind, Exception):
            assert issubclass(kind, TaskQueueError) != (kind in inside)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (InvalidConfigError, ValueError),
        (InvalidTaskError, ValueError),
        (QueueFullError, QueueProcessorError),
        (SubmitUncertainError, QueueProcessorError),
        (StoreUnavailableError, QueueProcessorError),
        (StoreUnsuitableError, TaskQueueError),
        (UnknownFunctionError, TaskQueueError),
        (IllegalTransition, AssertionError),
    ],
)
def test_an_error_can_be_caught_as_what_it_is(kind: type[Exception], base: type[Exception]) -> None:
    assert issubclass(kind, base)


def test_retry_says_when() -> None:
    assert (Retry(2.5).after, str(Retry(2.5))) == (2.5, "retry requested in 2.5 s")
    assert str(Retry(2.5, "busy")) == "busy"
    assert Retry(timedelta(minutes=1)).after == 60
    for wrong in ("3", None, True, math.nan, [3]):
        with pytest.raises(
            InvalidConfigError, match=r"Retry\(after=\.\.\.\) takes seconds or a timedelta"
        ):
            Retry(wrong)  # type: ignore[arg-type]


class Busy(Retry):
    def __init__(self) -> None:
        super().__init__(7, "busy")


def test_retry_survives_the_way_out_of_a_pool_of_processes() -> None:
    for error in (Retry(2.5), Busy()):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.after, str(again)) == (type(error), error.after, str(error))


def test_a_snooze_says_when_and_a_rate_limit_also_what_waits() -> None:
    assert (Snooze(60).after, Snooze(60).scope) == (60, "task")
    assert str(Snooze(2.5)) == "come back in 2.5 s"
    assert str(Snooze(2.5, "closed")) == "closed"
    limited = RateLimited(timedelta(minutes=1), "429 from the bank", scope="queue")
    assert (limited.after, limited.scope, str(limited)) == (60, "queue", "429 from the bank")
    assert (RateLimited(after=3).after, RateLimited(after=3).scope) == (3, "task")
    assert isinstance(limited, Snooze)


@pytest.mark.parametrize("kind", [Snooze, RateLimited])
@pytest.mark.parametrize("wrong", ["3", None, True, math.nan, [3]])
def test_a_snooze_that_says_no_time_is_refused(kind: type[Snooze], wrong: Any) -> None:
    name = kind.__name__
    with pytest.raises(InvalidConfigError, match=rf"{name}\(after=\.\.\.\) takes seconds"):
        kind(wrong)


@pytest.mark.parametrize("wrong", ["tasks", "", None, 3, ["key"]])
def test_a_rate_limit_of_an_unknown_scope_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidConfigError, match="'task', 'key', 'queue'"):
        RateLimited(3, scope=wrong)


class Closed(RateLimited):
    def __init__(self) -> None:
        super().__init__(7, "closed", scope="queue")


def test_a_snooze_survives_the_way_out_of_a_pool_of_processes() -> None:
    for error in (Snooze(2.5), RateLimited(3, "why", scope="key"), Closed()):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.after, again.scope, str(again)) == (
            type(error),
            error.after,
            error.scope,
            str(error),
        )


@pytest.mark.parametrize(
    ("given_name", "told"), [("mails", "mails"), ("", ""), (7, "7"), (None, "None"), (b"q", "b'q'")]
)
def test_a_name_is_carried_as_it_was_given_and_anything_else_as_it_is_shown(
    given_name: object, told: str
) -> None:
    assert named(given_name) == told


def test_plain_errors_survive_a_pickle() -> None:
    for kind in (InvalidConfigError, StoreUnavailableError, StoreUnsuitableError):
        again = pickle.loads(pickle.dumps(kind("why")))
        assert (type(again), str(again)) == (kind, "why")


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        ("x" * 98, "'" + "x" * 98 + "'"),
        ("x" * 99, "'" + "x" * 96 + "..."),
        (10**5000, "a value of type int whose repr() raised"),
        (Shy(), "a value of type Shy whose repr() raised"),
    ],
    ids=["short", "just short enough", "long", "huge", "shy"],
)
def test_a_message_quotes_any_value(value: object, text: str) -> None:
    assert shown(value) == text
    assert len(shown(value)) <= 100


def test_a_retry_takes_its_delay_by_the_name_that_a_submit_has_for_it():
    assert Retry(defer_by=5).after == Retry(after=5).after == Retry(5).after == 5
    assert Retry(defer_by=timedelta(minutes=1)).after == 60
    with pytest.raises(InvalidConfigError, match="not both"):
        Retry(5, defer_by=5)
    with pytest.raises(InvalidConfigError, match="takes seconds"):
        Retry()


def test_an_unknown_queue_is_answered_with_the_one_that_was_meant():
    assert "did you mean 'mails'? Otherwise create it" in str(
        QueueNotFoundError("mials", known=["orders", "mails"])
    )


def test_an_unreadable_record_names_its_task_and_says_what_to_do() -> None:
    error = TaskUnreadableError("t1", "ValueError")
    assert (error.task_id, error.reason) == ("t1", "ValueError")
    assert "'t1'" in str(error)
    assert "remove_unreadable_task" in str(error)


def test_a_record_of_a_newer_version_names_its_task_and_says_what_to_do() -> None:
    error = Unreadable("t1", "it has version 7", is_newer=True).error()
    assert isinstance(error, TaskTooNewError)
    assert (error.task_id, error.reason) == ("t1", "it has version 7")
    assert "'t1'" in str(error)
    assert "upgrade kew" in str(error)
    assert "remove_unreadable_task" not in str(error)
