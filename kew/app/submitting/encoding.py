"""Turning a user's call into a `Submission`, checked in full before anything is sent."""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from kew.app.info import TaskInfo
from kew.app.naming import PICKLED, Registration
from kew.app.ports import Binding, Codec, CodecError
from kew.app.registered import RegisteredFunction
from kew.app.registry import Registry
from kew.app.signatures import Shape
from kew.app.submitting.keying import key_text
from kew.app.submitting.uniqueness import ONE_KEY, Turn, Uniqueness, finder_of_submit
from kew.domain.backoff import LONGEST_DELAY, is_within
from kew.domain.config import check_priority
from kew.domain.errors import InvalidConfigError, InvalidTaskError, UnknownFunctionError, shown
from kew.domain.keys import LATEST
from kew.domain.rate import MOST_STARTS
from kew.domain.suggestions import did_you_mean
from kew.domain.task import (
    PINNED,
    QueuePriority,
    Submission,
    Task,
    check_task_id,
    make_submission,
)

MAX_TYPE_BYTES = 256
TOKEN = re.compile(r"[A-Za-z0-9]{1,64}")
FAR_FUTURE_MS = 253_402_300_799_000  # the year 9999
DEFERS = ("_defer_by", "_defer_until")
ENTRY_OPTIONS = ("defer_by", "defer_until", "expires_in", "token", "key", "cost")  # of a batch
SUBMIT_OPTIONS = (*ENTRY_OPTIONS, "if_exists")
TOKEN_NEEDS_ID = "a token resumes the submit of one task id: give both, task_id=error.task_id and token=error.token"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call as a user makes it. `token` resumes a submit whose answer was lost.

    `met` makes the caller's answer of the id of a task that was there already; None: its status is read for that.
    `decorated`: how the function was decorated, if it was; another manager may have done it.

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
    expires_in: float | timedelta | None = None
    token: str | None = None
    key: object = None
    cost: int | None = None
    if_exists: object = None
    unique: Uniqueness | None = None
    met: Callable[[str], object] | None = None
    decorated: Registration | None = None


class CallEncoder:
    """Prepares calls for one process."""

    def __init__(
        self, registry: Registry, codec: Codec, identity: str, served: Collection[str] = ()
    ) -> None:
        self._served = served
        self._registry = registry
        self._codec = codec
        self._identity = identity
        self._numbers = itertools.count(1)

    # Long: the fields of a submission, one after the other, without a call that each submit would pay for.
    def prepare(
        self, call: Call, default_priority: int, queue: str = "", works: bool = True
    ) -> Submission:
        """The submission, or `InvalidTaskError` with nothing stored. `works`: this process works on the queue."""
        task_id = check_task_id(call.task_id)
        try:
            options = self._registry.registered(call.function, call.decorated, works)
        except InvalidConfigError as error:
            raise InvalidTaskError(task_id, _reason(call.function, error)) from error
        try:
            priority = options.priority if call.priority is None else _priority(call)
            due_at, delay_ms = _due(call)
            unique = ""
            if call.unique is not None or options.unique_of is not None:
                unique, delay_ms, call = _unique(call, options, due_at, delay_ms)
            may_expire = call.expires_in is not None or options.start_by_ms
            shape = options.shape
            if shape and (call.kwargs or not shape.least <= len(call.args) <= shape.most):
                self._check_fits(call, options.name, shape)
            at_most_once, max_retries, retry_delay_ms, timeout_ms = options.of_every_call
            submission = make_submission(
                task_id,
                f"{self._identity}{next(self._numbers):x}" if call.token is None else _token(call),
                _task_type(call),
                options.name,
                self._encoded(call, (options.name, task_id), options.travels),
                default_priority if priority is None else int(priority),
                due_at,
                delay_ms,
                at_most_once,
                max_retries,
                retry_delay_ms,
                timeout_ms,
                "" if call.key is None and options.key_of is None else self._key(call, options),
                1 if call.cost is None else _cost(call),
                _start_by(call, options.start_by_ms, delay_ms) if may_expire else 0,
                "",
                unique,
            )
            if options.is_pin:
                self._pin(submission, queue, works=works)
        except BaseException:
            self._registry.pins.release_unused(options.name)
            raise
        return submission

    def new_call(
        self, task: Task, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[bytes, str | None]:
        """Other arguments for a task, and the key that its function finds in them; None: it looks for none.

        Raises `InvalidTaskError` if its function isn't known here or takes others.
        """
        name, task_id = task.call.function, task.id
        if name.startswith(PICKLED):
            reason = (
                "its function travels with its arguments, which can't be changed: submit a new task"
            )
            raise InvalidTaskError(task_id, reason)
        try:
            found = self._registry.resolve(name)
        except UnknownFunctionError as error:
            raise InvalidTaskError(task_id, f"its arguments can't be encoded: {error}") from error
        call = Call(
            task_id=task_id,
            task_type=task.call.task_type,
            function=found.function,
            args=args,
            kwargs=kwargs,
        )
        if found.shape:
            self._check_fits(call, name, found.shape)
        key = None if found.key_of is None else self._key(call, found)
        return self._encoded(call, (name, task_id), found.travels), key

    def _key(self, call: Call, options: RegisteredFunction) -> str:
        """Whose task it is; "" if it is no key's."""
        key = call.key
        if isinstance(key, Turn):
            return key
        if key is None and options.key_of is not None:
            try:
                key = options.key_of.of(call.args, call.kwargs)
            except Exception as error:
                reason = f"its key can't be found: {type(error).__name__}: {error}"
                raise InvalidTaskError(call.task_id, reason) from error
        text = key_text(call.task_id, key)
        if text.startswith(LATEST):
            raise InvalidTaskError(
                call.task_id, f"a key that begins with {LATEST!r} is that of a Latest"
            )
        if text and options.is_pin:
            raise InvalidTaskError(
                call.task_id,
                "a closure, lambda or bound method can't have a key: submit a module-level function",
            )
        return text

    def not_stored(self, submissions: Sequence[Submission]) -> None:
        """They were refused, for certain."""
        for submission in submissions:
            if submission.function.startswith(PINNED):
                self._registry.pins.not_stored(submission)

    def _check_fits(self, call: Call, name: str, shape: Shape) -> None:
        try:
            shape.signature.bind(*call.args, **call.kwargs)
        except TypeError as error:
            reason = f"{name} can't be called like this: {error}{_option_hint(call, shape)}"
            raise InvalidTaskError(call.task_id, reason) from None

    def _pin(self, submission: Submission, queue: str, *, works: bool) -> None:
        """Keep what only this process can run until its tasks have ended."""
        if not works:
            meant = did_you_mean(queue, self._served)
            raise InvalidTaskError(
                submission.id,
                "a closure, lambda or bound method runs in the process that submits it, and this one doesn't work on "
                f"queue {queue!r}{f'{meant} Otherwise' if meant else ';'} "
                "submit a module-level function, or use the pickle codec",
            )
        self._registry.pins.hold(submission, queue)

    def _encoded(self, call: Call, binding: Binding, travels: bool) -> bytes:
        # A function that travels goes first.
        args = (call.function, *call.args) if travels else call.args
        try:
            return self._codec.encode_call(call.function, args, call.kwargs, binding)
        except CodecError as error:
            raise InvalidTaskError(call.task_id, str(error)) from error


def _unique(
    call: Call, options: RegisteredFunction, due_at: int | None, delay_ms: int
) -> tuple[str, int, Call]:
    """The unique key of a call, how long after its submit it is due (ms), and the call with the key that it needs."""
    found = options.unique_of
    if call.unique is not None:
        try:
            found = finder_of_submit(call.unique, options.function)
        except InvalidConfigError as error:
            raise InvalidTaskError(call.task_id, str(error)) from error
    if found is None:  # `prepare` has asked
        return "", delay_ms, call
    text = found.text_of(call.task_id, options.name, call.args, call.kwargs)
    if turn := found.turn_of(text):
        if call.key is not None or options.key_of is not None:
            raise InvalidTaskError(call.task_id, ONE_KEY)
        call = msgspec.structs.replace(call, key=turn)
    quiet_ms = found.how.delay_ms if text else None
    if quiet_ms is None:
        return text, delay_ms, call
    if due_at is not None or delay_ms:
        raise InvalidTaskError(
            call.task_id,
            "a debounced call is due when it has been quiet: give no defer_by or defer_until",
        )
    return text, quiet_ms, call


def _priority(call: Call) -> QueuePriority:
    try:
        return check_priority(call.priority)
    except InvalidConfigError as error:
        reason = f"{error}; pass None for the default (in submit_task, the function's arguments follow the priority)"
        raise InvalidTaskError(call.task_id, reason) from error


def _option_hint(call: Call, shape: Shape) -> str:
    """What to write instead of the first option of a submit that was given as an argument of the function."""
    for name in SUBMIT_OPTIONS:
        if name in call.kwargs and name not in shape.signature.parameters:
            value = shown(call.kwargs[name])
            return f"; {name} is an option of the submit: write submit_task(..., _{name}={value})"
    return ""


def _reason(function: object, error: InvalidConfigError) -> str:
    if callable(function):
        return str(error)
    if inspect.iscoroutine(function):
        function.close()  # it will never be awaited
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
        raise InvalidTaskError(call.task_id, "token takes the token of a SubmitUncertainError")
    return call.token


def _cost(call: Call) -> int:
    value: object = call.cost
    if isinstance(value, int) and is_within(value, 1, MOST_STARTS):
        return int(value)
    reason = f"cost takes a whole number of units from 1 to {MOST_STARTS}, not {shown(value)}"
    raise InvalidTaskError(call.task_id, reason)


def _due(call: Call) -> tuple[int | None, int]:
    """(an instant that a person gave, a delay): at most one of them. ms."""
    if call.kwargs:
        _refuse_mistyped(call)
    if call.defer_until is not None and call.defer_by is not None:
        raise InvalidTaskError(call.task_id, "give defer_until or defer_by, not both")
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
            f"{name} is an option of the submit, not an argument of the function: "
            f"write f.options({option}=...).submit(...), or in a batch put it beside 'kwargs'",
        )
    raise InvalidTaskError(
        call.task_id, f"{name} is not an option of a submit; the options are {', '.join(DEFERS)}"
    )


def _instant(call: Call, until: object) -> int:
    """A naive datetime is local time, as `datetime.astimezone` has it."""
    if not isinstance(until, datetime):
        raise InvalidTaskError(call.task_id, f"defer_until takes a datetime, not {shown(until)}")
    try:
        return min(max(0, math.ceil(until.timestamp() * 1000)), FAR_FUTURE_MS)
    except (OverflowError, ValueError, OSError) as error:
        raise InvalidTaskError(call.task_id, f"defer_until {shown(until)}: {error}") from error


def _delay(call: Call, by: Any) -> int:
    seconds = by.total_seconds() if isinstance(by, timedelta) else by
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not -LONGEST_DELAY * 100 <= seconds <= LONGEST_DELAY * 100:
        raise InvalidTaskError(
            call.task_id, f"defer_by takes seconds or a timedelta, not {shown(by)}"
        )
    return max(0, math.ceil(seconds * 1000))


def _start_by(call: Call, default_ms: int, delay_ms: int) -> int:
    """How long it is worth starting, from its submit on (ms)."""
    start_by_ms = default_ms if call.expires_in is None else _expiry(call)
    if start_by_ms <= delay_ms:
        raise InvalidTaskError(
            call.task_id,
            f"it would expire before it is due: expires_in ({start_by_ms / 1000:g} s) counts from the submit, as "
            "defer_by does",
        )
    return start_by_ms


def _expiry(call: Call) -> int:
    seconds: Any = call.expires_in
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if not is_within(seconds, 0.001, LONGEST_DELAY):
        raise InvalidTaskError(
            call.task_id,
            f"expires_in takes seconds or a timedelta, more than 0, not {shown(call.expires_in)}",
        )
    return math.ceil(float(seconds) * 1000)


def submitted_info(call: Submission, queue: str, now: datetime | None) -> TaskInfo:
    """The status of a task that has just been stored."""
    due = now if call.due_at is None and not call.delay_ms else _due_time(call, now)
    return TaskInfo(call.id, call.task_type, queue, call.priority, queued_time=now, due_time=due)


def _due_time(call: Submission, now: datetime | None) -> datetime | None:
    if now is None:
        return None
    if call.due_at is None:
        return now + timedelta(milliseconds=call.delay_ms)
    return max(now, datetime.fromtimestamp(call.due_at / 1000, UTC))
