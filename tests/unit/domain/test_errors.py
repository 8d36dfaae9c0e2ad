"""The tree of errors: each carries what a program needs and says what a person may do next."""

from __future__ import annotations

import inspect
import math
import pickle
from collections.abc import Callable
from datetime import timedelta

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
    ResultUnreadableError,
    Retry,
    StoreUnavailableError,
    StoreUnsuitableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
    TaskCancelledError,
    TaskFailedError,
    TaskNotFoundError,
    TaskQueueError,
    UnknownFunctionError,
    named,
    shown,
)

INFO = object()
CASES: list[tuple[Callable[[], TaskQueueError], str, dict[str, object]]] = [
    (
        lambda: InvalidTaskError("t1", "too big"),
        "task 't1' was not submitted: too big",
        {"task_id": "t1", "reason": "too big", "accepted": ()},
    ),
    (
        lambda: TaskAlreadyExistsError("t1", ["t0"]),
        "task id 't1' is already used; choose another one, or wait until its record has expired",
        {"task_id": "t1", "accepted": ("t0",)},
    ),
    (
        lambda: TaskAlreadyExistsError("t1", is_twice=True),
        "task id 't1' stands twice in this list; nothing of it was submitted",
        {"task_id": "t1", "accepted": ()},
    ),
    (
        lambda: TaskNotFoundError("t1"),
        "no task 't1': never submitted here, or its record has expired",
        {"task_id": "t1"},
    ),
    (
        lambda: QueueNotFoundError("q", ["b-1"]),
        "no queue 'q'; declare it first: await manager.create_queue(...)",
        {"queue": "q", "accepted": ("b-1",)},
    ),
    (
        lambda: QueueInUseError("q"),
        "queue 'q' was created by this manager, which would bring it back: shut it down, "
        "and delete the queue with one that did not create it",
        {"queue": "q"},
    ),
    (
        lambda: QueueFullError("q", 0),
        "queue 'q' is full; try again later",
        {"queue": "q", "max_size": 0, "accepted": ()},
    ),
    (
        lambda: QueueFullError("q", 5, ["t0"]),
        "queue 'q' is full (max_size=5); try again later",
        {"queue": "q", "max_size": 5, "accepted": ("t0",)},
    ),
    (
        lambda: SubmitUncertainError("t1", "n1", ["t0"]),
        "the store did not answer whether task 't1' was stored; resume with "
        "submit_task(..., _token=error.token), which can't make a duplicate "
        "(of a batch: submit what get_task_status finds no record of)",
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
        "task 't1' completed, and its result can't be read: no date",
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
    inside = {GiveUp, Retry, IllegalTransition}
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
    assert (Retry(2.5).after, str(Retry(2.5))) == (2.5, "retry asked for in 2.5 s")
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
        (10**5000, "a value of type int that can't be shown"),
        (Shy(), "a value of type Shy that can't be shown"),
    ],
    ids=["short", "just short enough", "long", "huge", "shy"],
)
def test_a_message_quotes_any_value(value: object, text: str) -> None:
    assert shown(value) == text
    assert len(shown(value)) <= 100
