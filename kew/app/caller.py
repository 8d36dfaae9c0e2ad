"""Turning a user's call into a `Submission`, checked in full before anything is sent."""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from kew.app.info import TaskInfo
from kew.app.naming import PICKLED
from kew.app.ports import Codec, CodecError
from kew.app.registry import Registry
from kew.app.signatures import Shape
from kew.domain.backoff import LONGEST_DELAY
from kew.domain.config import check_priority
from kew.domain.errors import InvalidConfigError, InvalidTaskError, shown
from kew.domain.task import (
    PINNED,
    QueuePriority,
    Submission,
    TaskStatus,
    check_task_id,
    make_submission,
)

MAX_TYPE_BYTES = 256
TOKEN = re.compile(r"[A-Za-z0-9]{1,64}")
FAR_FUTURE_MS = 253_402_300_799_000  # the year 9999
DEFERS = ("_defer_by", "_defer_until")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call as a user makes it. `token` resumes a submit whose answer was lost.

    (A Struct, since it is made once per submit: a tenth of the cost of an attrs class.)
    """

    task_id: str
    task_type: str
    function: Callable[..., object]
    args: Sequence[object] = ()
    kwargs: Mapping[str, object] = {}  # each its own, as msgspec has it
    priority: object = None
    defer_until: datetime | None = None
    defer_by: float | timedelta | None = None
    token: str | None = None


class Caller:
    """Prepares calls for one process."""

    def __init__(self, registry: Registry, codec: Codec, incarnation: str) -> None:
        self._registry = registry
        self._codec = codec
        self._incarnation = incarnation
        self._numbers = itertools.count(1)

    def prepare(self, call: Call, default_priority: int, *, elsewhere: str = "") -> Submission:
        """The submission, or `InvalidTaskError` with nothing stored.

        `elsewhere` names a queue that this process doesn't work on.
        """
        task_id = check_task_id(call.task_id)
        try:
            options = self._registry.registered(call.function)
        except InvalidConfigError as error:
            raise InvalidTaskError(task_id, _reason(call.function, error)) from error
        try:
            priority = options.priority if call.priority is None else _priority(call)
            due_at, delay_ms = _due(call)
            shape = options.shape
            if shape and (call.kwargs or not shape.least <= len(call.args) <= shape.most):
                self._check_fits(call, options.name, shape)
            token = call.token
            at_most_once, max_retries, retry_delay_ms, timeout_ms = options.of_every_call
            submission = make_submission(
                task_id,
                f"{self._incarnation}{next(self._numbers):x}" if token is None else _token(call),
                _task_type(call),
                options.name,
                self._encoded(call, options.name),
                default_priority if priority is None else int(priority),
                due_at,
                delay_ms,
                at_most_once,
                max_retries,
                retry_delay_ms,
                timeout_ms,
            )
            if options.name.startswith(PINNED):
                self._pin(submission, elsewhere)
        except BaseException:
            self._registry.release_unused(options.name)
            raise
        return submission

    def not_stored(self, submissions: Sequence[Submission]) -> None:
        """They were refused, for certain."""
        for submission in submissions:
            if submission.function.startswith(PINNED):
                self._registry.release(submission.function)

    def _check_fits(self, call: Call, name: str, shape: Shape) -> None:
        try:
            shape.signature.bind(*call.args, **call.kwargs)
        except TypeError as error:
            reason = f"{name} can't be called so: {error}"
            raise InvalidTaskError(call.task_id, reason) from None

    def _pin(self, submission: Submission, elsewhere: str) -> None:
        """Keep what only this process can run until its tasks have completed."""
        if elsewhere:
            raise InvalidTaskError(
                submission.id,
                "a closure, lambda or bound method runs in the process that submits it, and this one doesn't work on "
                f"queue {elsewhere!r}; submit a module-level function, or use the pickle codec",
            )
        self._registry.hold(submission.function)

    def _encoded(self, call: Call, name: str) -> bytes:
        # A function that travels goes first.
        args = (call.function, *call.args) if name.startswith(PICKLED) else call.args
        try:
            return self._codec.encode_call(call.function, args, call.kwargs)
        except CodecError as error:
            raise InvalidTaskError(call.task_id, str(error)) from error


def _priority(call: Call) -> QueuePriority:
    try:
        return check_priority(call.priority)
    except InvalidConfigError as error:
        raise InvalidTaskError(call.task_id, str(error)) from error


def _reason(function: object, error: InvalidConfigError) -> str:
    if callable(function):
        return str(error)
    if inspect.iscoroutine(function):
        function.close()  # nobody will await it
    return f"pass the function and its arguments, not the call or a name: {shown(function)} is not callable"


def _task_type(call: Call) -> str:
    label: object = call.task_type
    if not isinstance(label, str):
        reason = f"task_type is a text label, not {type(label).__name__}"
        raise InvalidTaskError(call.task_id, reason)
    if not _is_label(label):
        raise InvalidTaskError(
            call.task_id, f"task_type is printable text of at most {MAX_TYPE_BYTES} bytes"
        )
    return str.__str__(label)  # of a subclass too, which a codec may not know


@lru_cache(maxsize=1024)
def _is_label(label: str) -> bool:
    return len(label.encode("utf-8", "surrogatepass")) <= MAX_TYPE_BYTES and label.isprintable()


def _token(call: Call) -> str:
    if not isinstance(call.token, str) or not TOKEN.fullmatch(call.token):
        raise InvalidTaskError(call.task_id, "_token takes the token of a SubmitUncertainError")
    return call.token


def _due(call: Call) -> tuple[int | None, int]:
    """(an instant that a person gave, a delay): at most one of them. ms."""
    if call.kwargs:
        _refuse_mistyped(call)
    if call.defer_until is not None and call.defer_by is not None:
        raise InvalidTaskError(call.task_id, "give _defer_until or _defer_by, not both")
    if call.defer_until is not None:
        return _instant(call, call.defer_until), 0
    if call.defer_by is None:
        return None, 0
    return None, _delay(call, call.defer_by)


def _refuse_mistyped(call: Call) -> None:
    mistyped = [name for name in call.kwargs if name.startswith("_defer")]
    if not mistyped:
        return
    name, option = mistyped[0], mistyped[0].removeprefix("_")
    if name in DEFERS:
        raise InvalidTaskError(
            call.task_id,
            f"{name} says something of the submit and is no argument of the function: "
            f"f.options({option}=...).submit(...), and in a batch beside 'kwargs', not among them",
        )
    raise InvalidTaskError(call.task_id, f"{name} is no option; there are {', '.join(DEFERS)}")


def _instant(call: Call, until: object) -> int:
    """A naive datetime is local time, as `datetime.astimezone` has it."""
    if not isinstance(until, datetime):
        raise InvalidTaskError(call.task_id, f"_defer_until takes a datetime, not {shown(until)}")
    try:
        return min(max(0, math.ceil(until.timestamp() * 1000)), FAR_FUTURE_MS)
    except (OverflowError, ValueError, OSError) as error:
        raise InvalidTaskError(call.task_id, f"_defer_until {shown(until)}: {error}") from error


def _delay(call: Call, by: Any) -> int:
    seconds = by.total_seconds() if isinstance(by, timedelta) else by
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not -LONGEST_DELAY * 100 <= seconds <= LONGEST_DELAY * 100:
        raise InvalidTaskError(
            call.task_id, f"_defer_by takes seconds or a timedelta, not {shown(by)}"
        )
    return max(0, math.ceil(seconds * 1000))


def submitted_info(call: Submission, queue: str, now: datetime | None) -> TaskInfo:
    """What a user is told of a task that has just been stored."""
    return TaskInfo(call.id, call.task_type, queue, call.priority, TaskStatus.QUEUED, now)
